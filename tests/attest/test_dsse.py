"""What is signed, envelopes and bundles: byte-exact, and nothing malformed gets through."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from support.attesting import ecdsa_signer, ed25519_signer, rsa_signer

from scanner.attest.bundle import BUNDLE_TYPE, encode_bundle, key_hint, parse_bundle
from scanner.attest.dsse import (
    Envelope,
    Signature,
    decode_base64,
    encode_envelope,
    pae,
    parse_envelope,
)
from scanner.attest.public_keys import is_signed, parse_public_keys
from scanner.attest.statement import encode_statement, parse_statement
from scanner.attest.statements import sign_payload
from scanner.errors import UnverifiedError
from scanner.model import Digest

DIGEST = Digest("sha256:" + "ab" * 32)


@pytest.mark.parametrize(
    ("kind", "body", "wanted"),
    [
        ("http://example.com/HelloWorld", b"hello world", b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
        ("", b"", b"DSSEv1 0  0 "),
        ("é", b"\x00\xff 3", b"DSSEv1 2 \xc3\xa9 4 \x00\xff 3"),
    ],
    ids=["specification", "empty", "bytes_not_characters"],
)  # fmt: skip
def test_pae(kind, body, wanted):
    assert pae(kind, body) == wanted


def test_ecdsa_signature_is_der_as_rfc_6979_has_it():
    r = 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    s = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    der = b"\x30\x46\x02\x21\x00" + r.to_bytes(32, "big") + b"\x02\x21\x00" + s.to_bytes(32, "big")
    signer = ecdsa_signer()
    assert signer.sign(b"sample") == der
    assert is_signed(signer.key.key, der, b"sample")
    assert not is_signed(signer.key.key, der[8 - 3 : 37] + der[-32:], b"sample")  # r || s


STATEMENT = (
    b'{"_type":"https://in-toto.io/Statement/v1",'
    b'"subject":[{"name":"reg.example/app","digest":{"sha256":"' + b"ab" * 32 + b'"}}],'
    b'"predicateType":"https://example.com/x","predicate":{"a":1,"b":"\xc3\xa9"}}'
)


def test_statement_bytes():
    made = encode_statement("reg.example/app", DIGEST, "https://example.com/x", {"b": "é", "a": 1})
    assert made == STATEMENT


def test_envelope_and_bundle_bytes():
    signer = ecdsa_signer()
    envelope = sign_payload(STATEMENT, signer)
    payload = b64encode(STATEMENT).decode()
    sig = (
        "MEQCIFMErjVNrJG66Mu2DtfoEbOIBCT9gnoLW4jy1RcE9AyRAiA+Tx3XTNIdJ+ee"
        "8sUvX6aFm732NxzSsgUY5OOE3+/m2A=="
    )
    envelope_json = (
        f'{{"payload":"{payload}","payloadType":"application/vnd.in-toto+json",'
        f'"signatures":[{{"keyid":"","sig":"{sig}"}}]}}'
    )
    assert encode_envelope(envelope).decode() == envelope_json
    assert encode_bundle(envelope, signer.key).decode() == (
        f'{{"dsseEnvelope":{envelope_json},"mediaType":"{BUNDLE_TYPE}",'
        '"verificationMaterial":{"publicKey":{"hint":"Wnp4zKSg9CDZvGK7Zpw8J1njn3I9OuENy+DwgVoH7NQ="},'
        '"tlogEntries":[]}}'
    )


def test_parsing_gives_back_what_was_encoded():
    signer = ed25519_signer()
    envelope = sign_payload(STATEMENT, signer)
    assert parse_envelope(encode_envelope(envelope)) == envelope
    assert parse_bundle(encode_bundle(envelope, signer.key)) == (envelope, key_hint(signer.key))
    assert parse_statement(envelope).is_about(DIGEST)


COSIGN_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuSh9OsiD5M1StiT4mVazrto9Dmce
PqVO2+Q0/0VTwYBP1z5ZSh+NFABHVro+3LCd+t5uq4fCJcJxiMXjv52rLg==
-----END PUBLIC KEY-----
"""
COSIGN_BUNDLE = (
    b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":'
    b'{"hint":"RJzbRNxnCE4BmlsEqlj3M2sygnPXld9PxlRz1FIqX0U="}},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0d'
    b"HBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjAuMSIsInN1YmplY3QiOlt7Im5hbWUiOiIxMjcuMC4wLjE6NTc3Ny90ZWFtL2NzIiw"
    b"iZGlnZXN0Ijp7InNoYTI1NiI6IjVhOGE0NDVjZTcxZDdlMjRkYzhkNDFhYTdmNmY1ZDI3MzdhMDU2NTMyN2Y4MmMzOTgxMTFkZjYxM"
    b'zdkNWQ3MWUifX1dLCJwcmVkaWNhdGVUeXBlIjoiaHR0cHM6Ly94LmV4YW1wbGUveSIsInByZWRpY2F0ZSI6eyJhIjoxfX0=","pay'
    b'loadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEYCIQDxEGe1QQEEkM0N62MtCSTcBNS2evngYuco'
    b'pPT+gw/DcQIhAK7ffxi8YUI9Nf3iyzmZZoC+SJ0pYjJylJOy/5kRwF3L"}]}}'
)
"""What cosign 3.1.3 wrote, and its key."""


def test_what_cosign_wrote():
    envelope, hint = parse_bundle(COSIGN_BUNDLE)
    (key,) = parse_public_keys(COSIGN_KEY, "cosign.pub")
    message = pae(envelope.payload_type, envelope.payload)
    assert is_signed(key.key, envelope.signatures[0].value, message)
    assert hint == key_hint(key)
    assert parse_statement(envelope).predicate == {"a": 1}


@pytest.mark.parametrize(
    "signer", [ecdsa_signer(), ed25519_signer(), rsa_signer()], ids=lambda s: s.key.algorithm
)
def test_every_flipped_bit_of_a_signature_is_seen(signer):
    message = b"message"
    good = signer.sign(message)
    assert is_signed(signer.key.key, good, message)
    step = 1 if len(good) < 100 else 37
    for bit in range(0, 8 * len(good), step):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert not is_signed(signer.key.key, bytes(bad), message)


def wire(**more: object) -> bytes:
    return json.dumps(
        {"payload": "e30=", "payloadType": "t", "signatures": [{"sig": "eA=="}]} | more
    ).encode()


HOSTILE = {
    "empty": b"",
    "not_json": b"\xff\xfe",
    "list": b"[]",
    "deep": b'{"payload":' + b"[" * 100_000,
    "no_signature": wire(signatures=[]),
    "many_signatures": wire(signatures=[{"sig": "eA=="}] * 17),
    "number": wire(payload=7),
    "not_base64": wire(payload="e30"),
    "loose_bits": wire(payload="e31="),
    "blanks": wire(payload="e 30="),
    "no_sig": wire(signatures=[{"keyid": "x"}]),
    "lone_surrogate": b'{"payload":"\\ud800","payloadType":"t","signatures":[{"sig":"eA=="}]}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("parse", [parse_envelope, parse_bundle])
def test_malformed(parse, content):
    if parse is parse_bundle:
        content = b'{"mediaType":"%b","verificationMaterial":{},"dsseEnvelope":%b}' % (
            BUNDLE_TYPE.encode(),
            content,
        )
    with pytest.raises(UnverifiedError) as caught:
        parse(content)
    assert caught.value.refusal == "malformed"


@pytest.mark.parametrize(
    "change",
    [{"mediaType": "application/json"}, {"more": 1}, {"dsseEnvelope": None}, {"verificationMaterial": {"x": 1}}],
    ids=["media_type", "unknown_field", "no_envelope", "unknown_material"],
)  # fmt: skip
def test_malformed_bundle(change):
    signer = ecdsa_signer()
    document = json.loads(encode_bundle(sign_payload(STATEMENT, signer), signer.key))
    with pytest.raises(UnverifiedError):
        parse_bundle(json.dumps(document | change).encode())


@pytest.mark.parametrize("text", ["-_8=", "+/8="])
def test_both_alphabets(text):
    assert decode_base64(text, "x") == b"\xfb\xff"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        STATEMENT.replace(b"Statement/v1", b"Statement/v2"),
        STATEMENT.replace(b'{"a":1,"b":"\xc3\xa9"}', b"[]"),
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x","predicate":{}}',
        b'{"_type":' + b"[" * 100_000,
    ],
    ids=["empty", "object", "version", "predicate_list", "no_subject", "deep"],
)
def test_malformed_statement(payload):
    with pytest.raises(UnverifiedError):
        parse_statement(Envelope(payload, (Signature("", b""),)))
