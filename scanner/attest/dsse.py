"""DSSE: what is signed, and the envelope around it.

Source: https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from scanner.decoding import decode_json
from scanner.errors import UnverifiedError

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
ENVELOPE_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
SIGNATURES_COUNT: Final = 16
"""More signatures in one envelope are not looked at: it is refused."""


class Signature(NamedTuple):
    """One signature; ``key_id`` is a hint that nothing vouches for."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its signatures."""

    payload: bytes
    """Exactly as signed: decode a copy, never write it anew."""
    signatures: tuple[Signature, ...]
    payload_type: str = PAYLOAD_TYPE


class WireSignature(msgspec.Struct, frozen=True):
    """A signature as JSON has it."""

    sig: str
    keyid: str = ""


class WireEnvelope(msgspec.Struct, frozen=True, rename="camel"):
    """The envelope as JSON has it. Fields that we do not know are none of our business, as DSSE says."""

    payload: str
    payload_type: str
    signatures: Sequence[WireSignature]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the envelope as JSON; the same bytes for the same envelope."""
    return msgspec.json.encode(as_wire(envelope), order="sorted")


def as_wire(envelope: Envelope) -> WireEnvelope:
    """Return the envelope as JSON has it."""
    return WireEnvelope(
        payload=b64encode(envelope.payload).decode(),
        payload_type=envelope.payload_type,
        signatures=[
            WireSignature(sig=b64encode(s.value).decode(), keyid=s.key_id)
            for s in envelope.signatures
        ],
    )


def parse_envelope(content: bytes) -> Envelope:
    """Return an envelope; its signatures are not looked at.

    Raises:
        UnverifiedError: ``malformed``.
    """
    try:
        wire = decode_json(content, WireEnvelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnverifiedError("envelope", "not a DSSE envelope") from error
    return from_wire(wire)


def from_wire(wire: WireEnvelope) -> Envelope:
    """Return what JSON had as an envelope; raises like :func:`parse_envelope`."""
    if not 0 < len(wire.signatures) <= SIGNATURES_COUNT:
        raise UnverifiedError(
            "envelope", f"expected 1 to {SIGNATURES_COUNT} signatures, got {len(wire.signatures)}"
        )
    return Envelope(
        payload=decode_base64(wire.payload, "payload"),
        payload_type=wire.payload_type,
        signatures=tuple(
            Signature(s.keyid, decode_base64(s.sig, "signature")) for s in wire.signatures
        ),
    )


def decode_base64(text: str, what: str) -> bytes:
    """Return the bytes of standard or URL-safe base64, in its one right spelling.

    Raises:
        UnverifiedError: ``malformed``.
    """
    standard = text.replace("-", "+").replace("_", "/")
    try:
        content = b64decode(standard, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnverifiedError(what, "not base64") from error
    if b64encode(content).decode() != standard:  # bits that stand for nothing
        raise UnverifiedError(what, "not base64 as it is written")
    return content
