"""From a stored report to signed statements about its digest, with the verdict of the policy that counts now."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from scanner.attest.dsse import encode_envelope
from scanner.attest.private_keys import Signer
from scanner.attest.statements import sign_digest
from scanner.model import ScanReport, ScanState, Verdict
from scanner.policy.compiled import Policy
from scanner.policy.evaluate import evaluate
from scanner.policy.lasting import lasts_until
from scanner.policy.subject import subject_of
from scanner.ports.attest import Predicate
from scanner.ports.attestations import Signed, SigningTask, StoredStatement
from scanner.reports._shared import finished_at

_RENEWED: Final = 0.75
"""Part of the validity after which an image is scanned again."""
_LOOKED_AT: Final = timedelta(hours=1)
"""Verdicts that may change by time alone are looked at no oftener."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is stated, by which key and policy, and for how long."""

    signer: Signer
    predicates: tuple[Predicate, ...]
    valid: timedelta
    policy: Policy

    @property
    def digest(self) -> str:
        """Another one: everything is to be signed anew."""
        types = sorted(one.type for one in self.predicates)
        return _hash(
            self.signer.key.id, self.policy.document.digest, types, self.valid.total_seconds()
        )


def sign(setup: Setup, report: ScanReport, task: SigningTask, now: datetime) -> Signed:
    """Return what is to be stored of a task.

    Nothing is stated of what could not be scanned, nor of a scan that counts no more: that is to be done again.

    Raises:
        SigningKeyError: the key does not sign.
    """
    subject = subject_of(report, scanned_at=task.scanned_at)
    verdict = evaluate(setup.policy, subject, now)
    expires_at = finished_at(report) + setup.valid
    signed = Signed(
        key_id=setup.signer.key.id,
        setup=setup.digest,
        basis=_basis(setup, task, verdict),
        statements=None,
        look_again_at=max(lasts_until(setup.policy, subject, now), now + _LOOKED_AT),
        renew_at=finished_at(report) + setup.valid * _RENEWED,
    )
    if all(image.state is ScanState.FAILED for image in report.images):
        return msgspec.structs.replace(signed, statements=(), look_again_at=None, renew_at=None)
    if expires_at <= now:
        return msgspec.structs.replace(signed, statements=(), look_again_at=None, renew_at=now)
    if signed.basis == task.basis:
        return signed
    statements = _statements(setup, report, verdict, now)
    return msgspec.structs.replace(signed, statements=statements)


def _statements(
    setup: Setup, report: ScanReport, verdict: Verdict, now: datetime
) -> tuple[StoredStatement, ...]:
    made = sign_digest(report, setup.predicates, setup.signer, valid=setup.valid, verdict=verdict)
    return tuple(
        StoredStatement(
            digest=made.digest,
            predicate_type=one.predicate_type,
            key_id=setup.signer.key.id,
            made_at=made.scanned_at,
            expires_at=made.scanned_at + setup.valid,
            signed_at=now,
            envelope=encode_envelope(one.envelope),
        )
        for one in made.signed
    )


def _basis(setup: Setup, task: SigningTask, verdict: Verdict) -> str:
    """Return a hash of what the statements follow from: the moment of the verdict is no part of that."""
    lasting = msgspec.structs.replace(verdict, evaluated_at="")
    return _hash(setup.digest, task.digest, task.scanned_at, task.report_fingerprint, lasting)


def _hash(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
