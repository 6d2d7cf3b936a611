"""Keys that are the same in every run, and reports that can be attested."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support.sample_report import finding, sample_report

from scanner.attest.private_keys import LocalSigner
from scanner.attest.verify import Demand
from scanner.model import (
    Decision,
    Digest,
    Kind,
    Reason,
    ScanReport,
    ScanState,
    Severity,
    Verdict,
    Waived,
)

RFC6979_SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
"""The P-256 key of RFC 6979, A.2.5: public since 2013."""
SCANNED = datetime(2025, 1, 31, 12, 0, 1, tzinfo=UTC)
NOW = SCANNED + timedelta(days=1)
VALID = timedelta(days=7)


def ecdsa_signer(
    scalar: int = RFC6979_SCALAR, curve: ec.EllipticCurve | None = None
) -> LocalSigner:
    return LocalSigner(ec.derive_private_key(scalar, curve or ec.SECP256R1()), "test key")


def ed25519_signer() -> LocalSigner:
    return LocalSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "test key")


def rsa_signer(bits: int = 2048) -> LocalSigner:
    return LocalSigner(rsa.generate_private_key(65_537, bits), "test key")


def attestable_report(*, looked_for_all: bool = True) -> ScanReport:
    """Return a report on an index, with a vulnerability if those were looked for."""
    report = sample_report()
    images = []
    for image in report.images:
        unseen = () if looked_for_all else ("vulnerability",)
        coverage = msgspec.structs.replace(image.coverage, not_looked_for=unseen)
        images.append(msgspec.structs.replace(image, coverage=coverage))
    if looked_for_all:
        known = finding(
            "vulnerability/CVE-2024-0001", Severity.HIGH, "var/lib/dpkg/status",
            kind=Kind.VULNERABILITY, package=images[0].packages[0].purl,
            evidence={"vulnerability": "CVE-2024-0001", "fixed_version": "5.2.15-3"},
        )  # fmt: skip
        images[0] = msgspec.structs.replace(images[0], findings=(*images[0].findings, known))
    return msgspec.structs.replace(
        report, reference="reg.example/team/app:1.2", images=tuple(images), skipped=()
    )


def single(report: ScanReport, number: int = 0, state: ScanState | None = None) -> ScanReport:
    """Return a report on one of the images alone."""
    image = report.images[number]
    image = msgspec.structs.replace(image, state=state or image.state)
    return msgspec.structs.replace(report, digest=image.digest, images=(image,), state=image.state)


def verdict(digest: str, decision: Decision = Decision.DENY) -> Verdict:
    shared = {
        "rule": "fixable",
        "line": 7,
        "vulnerability": "CVE-2024-0001",
        "package": "pkg:deb/debian/bash@5.2.15",
    }
    return Verdict(
        decision=decision,
        digest=digest,
        policy="strict",
        policy_digest="sha256:" + "9" * 64,
        evaluated_at="2025-01-31T12:00:02Z",
        reasons=(
            Reason(code="finding", decision=Decision.DENY, message="bash can be fixed", **shared),
        ),
        waived=(
            Waived(
                by="waiver",
                decision=Decision.DENY,
                reason="not reachable",
                owner="team-a",
                expires="2025-06-01T00:00:00Z",
                **shared,
            ),
            Waived(
                by="vex", decision=Decision.DENY, reason="vulnerable_code_not_present", **shared
            ),
        ),
    )


def demand(digest: str, *signers: LocalSigner, **more: object) -> Demand:
    values: dict[str, object] = {
        "digest": Digest(digest),
        "keys": tuple(s.key for s in signers),
        "types": frozenset({"https://scanner.dev/attestation/scan/v1"}),
        "now": NOW,
    }
    return Demand(**(values | more))
