"""The sigstore bundle v0.3 around an envelope that a key has signed.

Source: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from scanner.attest.dsse import (
    Envelope,
    WireEnvelope,
    WireSignature,
    as_wire,
    decode_base64,
    from_wire,
    parse_envelope,
)
from scanner.attest.public_keys import VerificationKey
from scanner.decoding import convert, decode_json
from scanner.errors import UnverifiedError

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_FAMILY: Final = "application/vnd.dev.sigstore.bundle"
"""How the media type of every version begins."""
_TYPES: Final = frozenset(
    {BUNDLE_TYPE, *(f"{BUNDLE_FAMILY}+json;version=0.{minor}" for minor in (1, 2, 3))}
)


class _Signature(WireSignature, frozen=True, forbid_unknown_fields=True):
    pass


class _Envelope(WireEnvelope, frozen=True, rename="camel", forbid_unknown_fields=True):
    signatures: Sequence[_Signature]


class _Hint(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    hint: str = ""


class _Material(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
):
    public_key: _Hint | None = None
    certificate: Any = None
    x509_certificate_chain: Any = msgspec.field(default=None, name="x509CertificateChain")
    tlog_entries: list[Any] | None = None
    timestamp_verification_data: Any = None


class _Bundle(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope | None = None
    message_signature: Any = None


def key_hint(key: VerificationKey) -> str:
    """Return a key's id as sigstore writes it."""
    return _hint_of(key.id)


def _hint_of(key_id: str) -> str:
    return b64encode(bytes.fromhex(key_id)).decode()


def id_of(hint: str) -> str:
    """Return the key id that a hint stands for; the hint itself if it is none of sigstore's."""
    try:
        return decode_base64(hint, "hint").hex()
    except UnverifiedError:
        return hint


def encode_bundle(envelope: Envelope, key: VerificationKey) -> bytes:
    """Return the bundle of an envelope that ``key`` has signed; the same bytes for the same envelope."""
    return _encode(envelope, key.id)


def rebuild_bundle(content: bytes, key_id: str) -> bytes:
    """Return the bundle of an encoded envelope that the key of this id has signed, as :func:`encode_bundle` does.

    Raises:
        UnverifiedError: ``malformed``.
    """
    return _encode(parse_envelope(content), key_id)


def _encode(envelope: Envelope, key_id: str) -> bytes:
    bundle = _Bundle(
        media_type=BUNDLE_TYPE,
        verification_material=_Material(public_key=_Hint(_hint_of(key_id)), tlog_entries=[]),
        dsse_envelope=convert(as_wire(envelope), _Envelope, from_attributes=True),
    )
    return msgspec.json.encode(bundle, order="sorted")


def parse_bundle(content: bytes) -> tuple[Envelope, str]:
    """Return the envelope in a bundle of any version, and the hint which key signed it, empty if there is none.

    Raises:
        UnverifiedError: ``malformed``: not a bundle, or one of something else than an attestation.
    """
    try:
        bundle = decode_json(content, _Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnverifiedError("bundle", "not a sigstore bundle") from error
    if bundle.media_type not in _TYPES:
        raise UnverifiedError("bundle", "not a sigstore bundle")
    if bundle.dsse_envelope is None:
        raise UnverifiedError("bundle", "a signature over the image, not an attestation")
    envelope = from_wire(bundle.dsse_envelope)
    if len(envelope.signatures) != 1:
        raise UnverifiedError("bundle", "expected one signature")
    key = bundle.verification_material.public_key
    hint = key.hint if key is not None else ""
    if envelope.signatures[0].key_id not in {"", hint}:
        raise UnverifiedError("bundle", "it names another key outside than inside")
    return envelope, hint
