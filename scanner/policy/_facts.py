"""What expressions see: the report as plain values, each key always there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scanner.model import Finding, ImageReport, Package
from scanner.model.vulnerability import vulnerability_ids
from scanner.policy.subject import Subject


def finding_facts(finding: Finding) -> dict[str, Any]:
    """Return a finding; ``line``, ``offset`` and ``layer_index`` are -1 where there is none."""
    return {
        "rule": finding.rule_id,
        "kind": str(finding.kind),
        "severity": str(finding.severity),
        "title": finding.title,
        "path": finding.path,
        "line": -1 if finding.line is None else finding.line,
        "offset": -1 if finding.offset is None else finding.offset,
        "package": finding.package,
        "evidence": finding.evidence,
        "layer": finding.layer,
        "layer_index": -1 if finding.layer_index is None else finding.layer_index,
        "build_step": finding.build_step,
        "deleted": finding.deleted_later,
        "fingerprint": finding.fingerprint,
        "ids": list(vulnerability_ids(finding)),
    }


def package_facts(package: Package) -> dict[str, Any]:
    """Return a package."""
    return {
        "purl": package.purl,
        "type": package.purl_type,
        "namespace": package.namespace,
        "name": package.name,
        "version": package.version,
        "path": package.path,
        "licenses": list(package.licenses),
        "declared": package.declared,
        "layer": package.layer,
    }


def image_facts(subject: Subject, image: ImageReport) -> dict[str, Any]:
    """Return an image: how it is called, what it is for, how it is run."""
    config, distribution = image.config, image.distribution
    return {
        "digest": image.digest,
        "name": subject.name,
        "tag": subject.tag,
        "namespace": subject.namespace,
        "platform": str(image.platform),
        "state": str(image.state),
        "distribution": distribution.id if distribution else "",
        "distribution_version": distribution.version if distribution else "",
        "created": config.created if config else "",
        "user": config.user if config else "",
        "entrypoint": list(config.entrypoint) if config else [],
        "cmd": list(config.cmd) if config else [],
        "exposed_ports": list(config.exposed_ports) if config else [],
        "volumes": list(config.volumes) if config else [],
        "labels": config.labels if config else {},
        "has_healthcheck": bool(config and config.healthcheck),
        "layers_count": len(image.layers),
        "signed_by": list(subject.signed_by),
    }


def coverage_facts(image: ImageReport) -> dict[str, Any]:
    """Return what was looked at."""
    coverage = image.coverage
    return {
        "layers_count": coverage.layers_count,
        "layers_scanned_count": coverage.layers_scanned_count,
        "uncompressed_bytes": coverage.uncompressed_bytes,
        "files_count": coverage.files_count,
        "issues_count": len(coverage.issues),
        "limits_count": len(coverage.limits),
        "distribution_recognised": coverage.distribution_recognised,
        "ecosystems": coverage.ecosystems,
        "not_looked_for": list(coverage.not_looked_for),
    }


def report_facts(
    names: frozenset[str], subject: Subject, image: ImageReport, findings: Iterable[Finding]
) -> dict[str, Any]:
    """Return the variables among ``names``: the others need not be made."""
    facts: dict[str, Any] = {"image": image_facts(subject, image)}
    if "findings" in names:
        facts["findings"] = [finding_facts(f) for f in findings]
    if "packages" in names:
        facts["packages"] = [package_facts(p) for p in image.packages]
    if "coverage" in names:
        facts["coverage"] = coverage_facts(image)
    return facts
