"""The sigstore bundle v0.3 around an envelope that a key has signed.

Source: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.attest.dsse import Envelope, WireEnvelope, as_wire, from_wire
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


def encode_bundle(envelope: Envelope) -> bytes:
    """Return the bundle of an envelope with one signature; the same bytes for the same envelope."""
    (signature,) = envelope.signatures
    bundle = _Bundle(
        media_type=BUNDLE_TYPE,
        verification_material=_Material(public_key=_Hint(signature.key_id), tlog_entries=[]),
        dsse_envelope=as_wire(envelope),
    )
    return msgspec.json.encode(bundle, order="sorted")


def parse_bundle(content: bytes) -> Envelope:
    """Return the envelope in a bundle of any version; who signed it is not looked at.

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
        raise UnverifiedError(
            "bundle", "a signature over the image, not an attestation", "other-content"
        )
    envelope = from_wire(bundle.dsse_envelope)
    if len(envelope.signatures) != 1:
        raise UnverifiedError("bundle", "expected one signature")
    key = bundle.verification_material.public_key
    if key is not None and key.hint != envelope.signatures[0].key_id:
        raise UnverifiedError("bundle", "it names another key outside than inside")
    return envelope
