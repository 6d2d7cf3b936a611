"""Our own predicate: all kinds of finding, what was not seen, the verdict, and until when that counts.

Its schema is in ``docs/schema/``.

Source: https://github.com/in-toto/attestation/blob/main/docs/new_predicate_guidelines.md
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.attest._texts import text_at
from scanner.decoding import convert
from scanner.model import (
    Coverage,
    Distribution,
    FileIssue,
    Finding,
    ImageReport,
    ScanState,
    Severity,
    Verdict,
)
from scanner.ports.attest import Attested, Predicate
from scanner.reports._shared import TOOL, moment, started_at, unique_images

TYPE: Final = "https://scanner.dev/attestation/scan/v1"
SCHEMA_VERSION: Final = "1.0"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """Who looked."""

    name: str
    version: str
    fingerprint: str
    """Of the analyzers, rules and limits: another one may see more."""


class AttestedImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image of one platform."""

    digest: str
    image_id: str
    platform: str
    state: ScanState
    coverage: Coverage
    findings_count: dict[str, int]
    """By severity; every severity is there."""
    packages_count: int
    distribution: Distribution | None = None
    findings: tuple[Finding, ...] = ()
    """Of all kinds. Kinds that ``coverage.not_looked_for`` names can have none."""
    error: str = ""


class ScanPredicate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a scan saw of a digest."""

    schema_version: str
    scanner: Tool
    reference: str
    """What was asked for; the subject of the statement is what counts."""
    digest: str
    started_at: str
    scanned_at: str
    """When the scan ended."""
    expires_at: str
    """From then on the statement is stale and proves nothing."""
    state: ScanState
    images: tuple[AttestedImage, ...]
    skipped: tuple[FileIssue, ...] = ()
    """Entries of an index that were not scanned, and why."""
    verdict: Verdict | None = None


def _build(attested: Attested) -> dict[str, Any]:
    report = attested.report
    predicate = ScanPredicate(
        schema_version=SCHEMA_VERSION,
        scanner=Tool(name=TOOL, version=report.scanner_version, fingerprint=report.fingerprint),
        reference=report.reference,
        digest=attested.digest,
        started_at=moment(started_at(report)),
        scanned_at=moment(attested.scanned_at),
        expires_at=moment(attested.expires_at),
        state=report.state,
        images=tuple(map(_image, unique_images(report))),
        skipped=report.skipped,
        verdict=attested.verdict,
    )
    plain: dict[str, Any] = msgspec.to_builtins(predicate)
    return plain


def _image(image: ImageReport) -> AttestedImage:
    counts = dict.fromkeys(map(str, Severity), 0)
    for finding in image.findings:
        counts[finding.severity] += 1
    return AttestedImage(
        digest=image.digest,
        image_id=image.image_id,
        platform=str(image.platform),
        state=image.state,
        coverage=image.coverage,
        findings_count=counts,
        packages_count=len(image.packages),
        distribution=image.distribution,
        findings=image.findings,
        error=image.error,
    )


def parse(predicate: dict[str, Any]) -> ScanPredicate | None:
    """Return a predicate of our type as what it is; None if it is not as its schema says."""
    try:
        return convert(predicate, ScanPredicate)
    except (msgspec.ValidationError, RecursionError):
        return None


def schema() -> dict[str, Any]:
    """Return the JSON schema of the predicate."""
    described = msgspec.json.schema(ScanPredicate)
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    described["$id"] = TYPE
    described["title"] = "scanner attestation"
    return described


PREDICATE: Final = Predicate(
    name="scan",
    type=TYPE,
    build=_build,
    moment=text_at("scanned_at"),
    summary="all findings with coverage and verdict, and until when they count",
)
