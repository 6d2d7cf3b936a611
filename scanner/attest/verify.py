"""Whether an envelope proves something of a digest, and if not, why. Pure.

Source: https://github.com/in-toto/attestation/blob/main/docs/validation.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from scanner.attest.bundle import id_of, key_hint
from scanner.attest.dsse import PAYLOAD_TYPE, Envelope, pae
from scanner.attest.predicates import scan
from scanner.attest.public_keys import VerificationKey, is_signed
from scanner.attest.statement import Statement, parse_statement
from scanner.errors import UnverifiedError
from scanner.model import Digest
from scanner.model.vulnerability import parse_moment
from scanner.ports.attest import Predicate

_SKEW: Final = timedelta(minutes=10)
"""How far clocks may differ."""


class Refusal(StrEnum):
    """Why an envelope proves nothing of what was asked."""

    MALFORMED = "malformed"  # not what it says to be
    DAMAGED = "damaged"  # the content is not what its digest says
    UNREADABLE = "unreadable"  # the registry does not give it
    UNKNOWN_KEY = (
        "unknown-key"  # signed with none of the keys given: another's, or one that was replaced
    )
    BAD_SIGNATURE = "bad-signature"  # names one of the keys, but the signature is not its
    REVOKED_KEY = "revoked-key"
    OTHER_SUBJECT = "other-subject"  # about another image
    OTHER_TYPE = "other-type"  # states something else than what was asked for
    STALE = "stale"  # was true once


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is to be proven."""

    digest: Digest
    keys: tuple[VerificationKey, ...]
    types: frozenset[str]
    now: datetime
    revoked: frozenset[str] = frozenset()
    """Ids of keys that prove nothing any more."""
    max_age: timedelta | None = None
    """Between a scan and now."""
    default_age: timedelta | None = None
    """The same, for statements of known types that do not say themselves when they expire."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A statement that counts."""

    where: str
    statement: Statement
    key: VerificationKey
    made_at: datetime | None
    expires_at: datetime | None
    scan: scan.ScanPredicate | None
    """The predicate, if it is of our own type."""


def check(
    envelope: Envelope,
    where: str,
    demand: Demand,
    predicates: Mapping[str, Predicate],
    *,
    hint: str = "",
) -> Proof:
    """Return what an envelope proves; ``predicates`` are the known ones by type.

    ``hint`` is the key that the bundle around it names; it must be the one that has signed.

    Raises:
        UnverifiedError: nothing of what is asked; ``refusal`` is one of :class:`Refusal`.
    """
    key = _signed_with(envelope, where, demand, hint)
    if hint not in {"", key.id, key_hint(key)}:
        raise UnverifiedError(
            where, "it names another key than the one that signed", Refusal.MALFORMED
        )
    statement = parse_statement(envelope)
    if not statement.is_about(demand.digest):
        raise UnverifiedError(where, "it is about another image", Refusal.OTHER_SUBJECT)
    kind = statement.predicate_type
    if kind not in demand.types:
        raise UnverifiedError(where, f"it states {kind[:200]}", Refusal.OTHER_TYPE)
    own = scan.parse(statement.predicate) if kind == scan.TYPE else None
    if kind == scan.TYPE and (own is None or own.digest != demand.digest):
        raise UnverifiedError(where, "its predicate is not as its schema says", Refusal.MALFORMED)
    known = predicates.get(kind)
    made_at = parse_moment(known.moment(statement.predicate)) if known else None
    expires_at = parse_moment(own.expires_at) if own else None
    if own and (made_at is None or expires_at is None):
        raise UnverifiedError(where, "it does not say until when it counts", Refusal.MALFORMED)
    _check_age(where, demand, made_at, expires_at, is_known=known is not None)
    return Proof(where, statement, key, made_at, expires_at, own)


def _signed_with(envelope: Envelope, where: str, demand: Demand, hint: str) -> VerificationKey:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise UnverifiedError(where, "its payload is no in-toto statement", Refusal.MALFORMED)
    message = pae(envelope.payload_type, envelope.payload)
    revoked: VerificationKey | None = None
    for signature in envelope.signatures:
        for key in demand.keys:
            if is_signed(key.key, signature.value, message):
                if key.id not in demand.revoked:
                    return key
                revoked = key
    if revoked is not None:
        reason = f"signed with key {revoked.id[:16]}…, which is revoked"
        raise UnverifiedError(where, reason, Refusal.REVOKED_KEY)
    raise _unsigned(where, demand, {hint, *(s.key_id for s in envelope.signatures)} - {""})


def _unsigned(where: str, demand: Demand, named: set[str]) -> UnverifiedError:
    """Return why no signature counts; ``named`` are the keys that it says to be signed with."""
    ours = {name: key for key in demand.keys for name in (key.id, key_hint(key))}
    for name in sorted(named & ours.keys()):
        reason = f"the signature is not that of key {ours[name].id[:16]}…, which it names: something was changed"
        return UnverifiedError(where, reason, Refusal.BAD_SIGNATURE)
    reason = "signed with none of the keys given, or changed since"
    if named:
        other = id_of(min(named))[:16]
        reason = (
            f"signed with key {other}…, as it says, which is none of those given (was it replaced?)"
        )
    return UnverifiedError(where, reason, Refusal.UNKNOWN_KEY)


def _check_age(
    where: str,
    demand: Demand,
    made_at: datetime | None,
    expires_at: datetime | None,
    *,
    is_known: bool,
) -> None:
    if expires_at is not None and demand.now >= expires_at:
        raise UnverifiedError(where, f"expired at {_shown(expires_at)}", Refusal.STALE)
    allowed = demand.max_age
    if allowed is None and expires_at is None and is_known:
        allowed = demand.default_age
    if allowed is None:
        return
    if made_at is None:
        raise UnverifiedError(where, "it does not say how old it is", Refusal.STALE)
    if made_at > demand.now + _SKEW:
        reason = f"made at {_shown(made_at)}, which is not yet: is a clock wrong?"
        raise UnverifiedError(where, reason, Refusal.STALE)
    if demand.now - made_at > allowed:
        reason = f"made at {_shown(made_at)}, longer ago than {_days(allowed)}"
        raise UnverifiedError(where, reason, Refusal.STALE)


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _days(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"  # noqa: PLR2004
