"""The vulnerability predicate of in-toto. An empty list means: scanned, and nothing found.

Source: https://github.com/in-toto/attestation/blob/main/spec/predicates/vuln.md
"""

from __future__ import annotations

from typing import Any, Final

from scanner.attest._texts import text_at
from scanner.attest._vulnerabilities import looked_for_vulnerabilities
from scanner.model import Finding, ScanState
from scanner.model.vulnerability import vulnerability_facts
from scanner.ports.attest import Attested, Predicate
from scanner.reports._shared import (
    TOOL,
    moment,
    started_at,
    unique_images,
    vulnerabilities,
    vulnerability_id,
)


def _build(attested: Attested) -> dict[str, Any] | None:
    report = attested.report
    if attested.advisories_at is None or not looked_for_vulnerabilities(report):
        return None
    found = [_result(f) for image in unique_images(report) for f in vulnerabilities(image)]
    if report.state is not ScanState.COMPLETE and not found:
        return None  # there is no place here to say that the list may be short
    return {
        "scanner": {
            "uri": f"pkg:generic/{TOOL}@{report.scanner_version}",
            "version": report.scanner_version,
            "db": {"uri": "", "version": "", "lastUpdate": moment(attested.advisories_at)},
            "result": found,
        },
        "metadata": {
            "scanStartedOn": moment(started_at(report)),
            "scanFinishedOn": moment(attested.scanned_at),
        },
    }


def _result(finding: Finding) -> dict[str, Any]:
    facts = vulnerability_facts(finding)
    annotations = {
        "package": finding.package,
        "path": finding.path,
        "fixed_version": facts.fixed_version,
        "fingerprint": finding.fingerprint,
    }
    return {
        "id": vulnerability_id(finding),
        "severity": [{"method": TOOL, "score": str(finding.severity)}],
        "annotations": [{key: value} for key, value in annotations.items() if value],
    }


PREDICATE: Final = Predicate(
    name="vulns",
    type="https://in-toto.io/attestation/vulns/v0.2",
    build=_build,
    moment=text_at("metadata", "scanFinishedOn"),
    summary="known vulnerabilities as in-toto writes them",
)
