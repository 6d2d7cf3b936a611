"""From a report to signed statements: one set for each scanned digest, the index and every platform.

Source: https://github.com/in-toto/attestation/blob/main/spec/README.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from scanner.attest.dsse import PAYLOAD_TYPE, Envelope, Signature, pae
from scanner.attest.private_keys import Signer
from scanner.attest.statement import encode_statement
from scanner.model import Digest, ScanReport, ScanState, Verdict, parse_digest
from scanner.model.freshness import advisories_checked_at
from scanner.ports.attest import Attested, Predicate
from scanner.reports._shared import finished_at, is_index, name_of, unique_images


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement about one digest, signed."""

    predicate_type: str
    envelope: Envelope
    scanned_at: datetime


@dataclass(frozen=True, slots=True)
class DigestStatements:
    """Everything that is stated of one digest."""

    digest: Digest
    scanned_at: datetime
    signed: tuple[SignedStatement, ...]
    withdrawn: frozenset[str]
    """Types that were asked for, but of which there is nothing true to say."""


def narrowed(report: ScanReport, digest: str) -> ScanReport:
    """Return what a report says of one digest: all of it, or one image."""
    if digest == report.digest:
        return report
    images = tuple(i for i in unique_images(report) if i.digest == digest)
    return msgspec.structs.replace(
        report, digest=digest, images=images, skipped=(), state=images[0].state
    )


def digests_of(report: ScanReport, *, is_whole: bool = True) -> Iterator[Digest]:
    """Yield the digests that a report is about: the index first, if it is one, then its images.

    A report on some platforms only (not ``is_whole``) is about its images, not about the index.
    """
    if is_whole and is_index(report):
        yield parse_digest(report.digest)
    for image in unique_images(report):
        yield parse_digest(image.digest)


def sign_report(
    report: ScanReport,
    predicates: Sequence[Predicate],
    signer: Signer,
    *,
    valid: timedelta,
    verdicts: Mapping[str, Verdict] | None = None,
    is_whole: bool = True,
    advisories_at: datetime | None = None,
) -> list[DigestStatements]:
    """Return signed statements for every digest of a report; ``verdicts`` are by digest, ``is_whole`` as above.

    ``advisories_at`` is when the advisories that packages were compared with were fetched; if not given, as the
    report says itself.

    Nothing is stated of a digest of which nothing could be scanned: that would replace what was seen before.

    Raises:
        SigningKeyError: the key does not sign.
        InvalidReferenceError: the report is about no digest, but about a directory.
    """
    scanned_at = finished_at(report)
    parts = {digest: narrowed(report, digest) for digest in digests_of(report, is_whole=is_whole)}
    return [
        _sign_one(
            Attested(
                digest=digest,
                report=part,
                name=name_of(report),
                scanned_at=scanned_at,
                expires_at=scanned_at + valid,
                verdict=(verdicts or {}).get(digest),
                advisories_at=advisories_at or advisories_checked_at(part),
            ),
            predicates,
            signer,
        )
        for digest, part in parts.items()
        if any(image.state is not ScanState.FAILED for image in part.images)
    ]


def sign_digest(
    report: ScanReport,
    predicates: Sequence[Predicate],
    signer: Signer,
    *,
    valid: timedelta,
    verdict: Verdict | None = None,
) -> DigestStatements:
    """Return signed statements about the report's own digest alone; raises as :func:`sign_report`."""
    scanned_at = finished_at(report)
    attested = Attested(
        digest=parse_digest(report.digest),
        report=report,
        name=name_of(report),
        scanned_at=scanned_at,
        expires_at=scanned_at + valid,
        verdict=verdict,
        advisories_at=advisories_checked_at(report),
    )
    return _sign_one(attested, predicates, signer)


def _sign_one(
    attested: Attested, predicates: Sequence[Predicate], signer: Signer
) -> DigestStatements:
    signed: list[SignedStatement] = []
    withdrawn: set[str] = set()
    for predicate in predicates:
        content = predicate.build(attested)
        if content is None:
            withdrawn.add(predicate.type)
            continue
        statement = encode_statement(attested.name, attested.digest, predicate.type, content)
        envelope = sign_payload(statement, signer)
        signed.append(SignedStatement(predicate.type, envelope, attested.scanned_at))
    return DigestStatements(
        attested.digest, attested.scanned_at, tuple(signed), frozenset(withdrawn)
    )


def sign_payload(payload: bytes, signer: Signer) -> Envelope:
    """Return an envelope with one signature; raises SigningKeyError.

    It names no key: cosign compares such a name with one of its own making, and would refuse ours.
    """
    value = signer.sign(pae(PAYLOAD_TYPE, payload))
    return Envelope(payload, (Signature("", value),))
