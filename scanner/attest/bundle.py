"""The sigstore bundle v0.3 around an envelope that a key has signed.

Source: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

import msgspec

from scanner.attest.dsse import Envelope, WireEnvelope, as_wire, from_wire
from scanner.attest.public_keys import VerificationKey
from scanner.errors import UnverifiedError

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_FAMILY: Final = "application/vnd.dev.sigstore.bundle"
"""How the media type of every version begins."""


class _Hint(msgspec.Struct, frozen=True, omit_defaults=True):
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
    dsse_envelope: WireEnvelope | None = None
    message_signature: Any = None


def key_hint(key: VerificationKey) -> str:
    """Return a key's id as sigstore writes it."""
    return b64encode(bytes.fromhex(key.id)).decode()


def encode_bundle(envelope: Envelope, key: VerificationKey) -> bytes:
    """Return the bundle of an envelope that ``key`` has signed; the same bytes for the same envelope."""
    bundle = _Bundle(
        media_type=BUNDLE_TYPE,
        verification_material=_Material(public_key=_Hint(key_hint(key)), tlog_entries=[]),
        dsse_envelope=as_wire(envelope),
    )
    return msgspec.json.encode(bundle, order="sorted")


def parse_bundle(content: bytes) -> tuple[Envelope, str]:
    """Return the envelope in a bundle of any version, and the hint which key signed it, empty if there is none.

    Raises:
        UnverifiedError: ``malformed``: not a bundle, or one of something else than an attestation.
    """
    try:
        bundle = msgspec.json.decode(content, type=_Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnverifiedError("bundle", "not a sigstore bundle") from error
    if not bundle.media_type.startswith(BUNDLE_FAMILY):
        raise UnverifiedError("bundle", "not a sigstore bundle")
    if bundle.dsse_envelope is None:
        raise UnverifiedError("bundle", "a signature over the image, not an attestation")
    envelope = from_wire(bundle.dsse_envelope)
    if len(envelope.signatures) != 1:
        raise UnverifiedError("bundle", "expected one signature")
    key = bundle.verification_material.public_key
    return envelope, key.hint if key is not None else ""
