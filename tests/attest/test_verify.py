"""What counts as a proof, why other things do not, and that no flipped bit gets through."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.attesting import (
    NOW,
    SCANNED,
    VALID,
    attestable_report,
    demand,
    ecdsa_signer,
    ed25519_signer,
    single,
    verdict,
)

from scanner.attest.bundle import encode_bundle, parse_bundle
from scanner.attest.dsse import Envelope, Signature, encode_envelope, parse_envelope
from scanner.attest.statement import encode_statement
from scanner.attest.statements import sign_payload, sign_report
from scanner.attest.verify import Refusal, check
from scanner.discovery import predicates
from scanner.errors import UnverifiedError
from scanner.ports.attest import Attested

OURS = ecdsa_signer()
OLD = ecdsa_signer(4321)
REPORT = single(attestable_report())
KNOWN = {p.type: p for p in predicates().values()}
TYPES = {p.name: p.type for p in predicates().values()}


def envelope(name: str = "scan", signer=OURS) -> Envelope:
    (one,) = sign_report(
        REPORT,
        [predicates()[name]],
        signer,
        valid=VALID,
        advisories_at=SCANNED,
        verdicts={REPORT.digest: verdict(REPORT.digest)},
    )
    return one.signed[0].envelope


def proven(found: Envelope, *signers, hint: str = "", digest: str = REPORT.digest, **more):
    return check(found, "here", demand(digest, *(signers or (OURS,)), **more), KNOWN, hint=hint)


def test_proof():
    proof = proven(envelope(), OLD, OURS)
    assert (proof.key, proof.made_at, proof.expires_at) == (OURS.key, SCANNED, SCANNED + VALID)
    assert proof.scan.verdict == verdict(REPORT.digest)
    assert proof.statement.predicate_type == TYPES["scan"]


@pytest.mark.parametrize("name", TYPES)
def test_every_type(name):
    proof = proven(envelope(name), types=frozenset({TYPES[name]}), default_age=VALID)
    assert proof.statement.predicate_type == TYPES[name]


def signed(payload: bytes) -> Envelope:
    return sign_payload(payload, OURS)


def stated(
    predicate: dict[str, object], digest: str = REPORT.digest, kind: str = "scan"
) -> Envelope:
    return signed(encode_statement("app", digest, TYPES.get(kind, kind), predicate))


REFUSED = {
    "another_key": (envelope(signer=OLD), {}, Refusal.UNKNOWN_KEY, "signed with none of the keys given"),
    "another_kind_of_key": (envelope(signer=ed25519_signer()), {}, Refusal.UNKNOWN_KEY, "signed with none"),
    "replaced_key": (
        envelope(signer=OLD), {"hint": OLD.key.id}, Refusal.UNKNOWN_KEY, r"which is none of those given \(was it replaced\?\)",
    ),
    "revoked_key": (envelope(), {"revoked": {OURS.key.id}}, Refusal.REVOKED_KEY, "which is revoked"),
    "another_subject": (envelope(), {"digest": "sha256:" + "0" * 64}, Refusal.OTHER_SUBJECT, "about another image"),
    "another_algorithm": (envelope(), {"digest": "sha512:" + REPORT.digest[7:] * 2}, Refusal.OTHER_SUBJECT, "about"),
    "another_type": (envelope("spdx"), {}, Refusal.OTHER_TYPE, "it states https://spdx.dev/Document"),
    "expired": (envelope(), {"now": SCANNED + VALID}, Refusal.STALE, "expired at 2025-02-07T12:00:01Z"),
    "too_old": (envelope(), {"max_age": timedelta(hours=23)}, Refusal.STALE, "longer ago than 23 hours"),
    "too_old_by_default": (
        envelope("spdx"), {"types": {TYPES["spdx"]}, "default_age": timedelta(hours=2)}, Refusal.STALE, "ago than 2 hours",
    ),
    "not_yet": (
        envelope(), {"now": SCANNED - timedelta(hours=1), "max_age": VALID}, Refusal.STALE, "is a clock wrong",
    ),
    "without_moment": (
        stated({}, kind="spdx"), {"types": {TYPES["spdx"]}, "max_age": VALID}, Refusal.STALE, "how old it is",
    ),
    "without_schema": (stated({"digest": REPORT.digest}), {}, Refusal.MALFORMED, "not as its schema says"),
    "no_statement": (signed(b"{}"), {}, Refusal.MALFORMED, "not an in-toto statement"),
    "no_signature": (
        Envelope(envelope().payload, (Signature("", b""),)), {}, Refusal.UNKNOWN_KEY, "signed with none",
    ),
    "another_payload_type": (
        Envelope(envelope().payload, envelope().signatures, "text/plain"), {}, Refusal.MALFORMED, "no in-toto statement",
    ),
    "hint_of_another_key": (envelope(), {"hint": OLD.key.id}, Refusal.MALFORMED, "names another key"),
}  # fmt: skip


@pytest.mark.parametrize(("found", "more", "refusal", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(found, more, refusal, reason):
    with pytest.raises(UnverifiedError, match=reason) as caught:
        proven(found, **more)
    assert caught.value.refusal == refusal


def test_a_statement_about_one_digest_in_the_subject_and_another_in_the_predicate():
    other = single(attestable_report(), 1)
    content = predicates()["scan"].build(
        Attested(
            digest=other.digest,
            report=other,
            name="app",
            scanned_at=SCANNED,
            expires_at=SCANNED + VALID,
        )
    )
    with pytest.raises(UnverifiedError, match="not as its schema says"):
        proven(stated(content))


def test_an_unknown_type_has_no_age_unless_one_is_asked_for():
    found = stated({"any": 1}, kind="https://x.example/y")
    types = frozenset({"https://x.example/y"})
    assert proven(found, types=types, default_age=VALID).made_at is None
    with pytest.raises(UnverifiedError, match="how old it is"):
        proven(found, types=types, max_age=VALID)


def test_one_of_several_signatures_is_enough():
    both = Envelope(envelope().payload, (*envelope(signer=OLD).signatures, *envelope().signatures))
    assert proven(both).key == OURS.key


def flips(content: bytes) -> list[bytes]:
    """Return the content with one bit flipped: every bit of its ends, and a sample of the long payload."""
    bits = 8 * len(content)
    chosen = {*range(0, bits, 61), *range(min(bits, 2_400)), *range(max(0, bits - 4_000), bits)}
    changed = []
    for bit in sorted(chosen):
        bad = bytearray(content)
        bad[bit // 8] ^= 1 << bit % 8
        changed.append(bytes(bad))
    return changed


def tiny() -> Envelope:
    """Return an envelope whose every bit can be flipped in little time."""
    return stated({"a": 1}, kind="https://x.example/y")


def proven_of_bundle(content: bytes, types: frozenset[str]):
    found, hint = parse_bundle(content)
    return proven(found, hint=hint, types=types)


def test_every_flipped_bit_of_a_bundle_is_refused():
    types = frozenset({"https://x.example/y"})
    content = encode_bundle(tiny(), OURS.key)
    proven_of_bundle(content, types)
    for bad in flips(content):
        with pytest.raises(UnverifiedError):
            proven_of_bundle(bad, types)


def test_every_flipped_bit_of_an_envelope_is_refused():
    """But in the name of the key, which nothing vouches for, and DSSE lets be ignored."""
    types = frozenset({"https://x.example/y"})
    content = encode_envelope(tiny())
    proven(parse_envelope(content), types=types)
    at = content.index(b'"keyid":""')
    for bad in flips(content):
        if bad[:at] == content[:at] and bad[at + 10 :] == content[at + 10 :]:
            continue
        with pytest.raises(UnverifiedError):
            proven(parse_envelope(bad), types=types)


def test_time_is_that_of_the_one_who_asks():
    assert demand(REPORT.digest, OURS).now == NOW
