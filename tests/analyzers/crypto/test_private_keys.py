"""Private keys made at run time: weak ones in PEM, any in DER."""

from __future__ import annotations

import pytest
from support.made_keys import (
    dsa_key,
    ec_key,
    ed25519_key,
    private_bytes,
    rsa_key,
    spki_sha256,
)
from support.pattern_harness import outputs

from scanner.analyzers._keys import PRIVATE_KEY, facts_of_private, is_roca
from scanner.analyzers.crypto.private_keys import ANALYZERS
from scanner.model import Finding, Kept, Severity
from scanner.ports import LayerFile

PEM, DER = ANALYZERS


def weaknesses(out):
    found = [o for o in out if isinstance(o, Finding)]
    return [(f.rule_id, f.severity, f.evidence.get("weakness")) for f in found]


def weak(severity, code):
    return ("crypto/weak-private-key", severity, code)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(lambda: private_bytes(rsa_key()), [], id="rsa_2048"),
        pytest.param(lambda: private_bytes(ed25519_key()), [], id="ed25519"),
        pytest.param(lambda: private_bytes(ed25519_key(), form="OpenSSH"), [], id="ed25519_openssh"),
        pytest.param(lambda: private_bytes(ec_key()), [], id="p256"),
        pytest.param(lambda: private_bytes(rsa_key(1024)), [weak(Severity.HIGH, "size")], id="rsa_1024"),
        pytest.param(lambda: private_bytes(rsa_key(1024), form="TraditionalOpenSSL"), [weak(Severity.HIGH, "size")], id="rsa_traditional"),
        pytest.param(lambda: private_bytes(rsa_key(1024), form="OpenSSH"), [weak(Severity.HIGH, "size")], id="rsa_openssh"),
        pytest.param(lambda: private_bytes(rsa_key(1536)), [weak(Severity.MEDIUM, "size")], id="rsa_1536"),
        pytest.param(lambda: private_bytes(rsa_key(2048, 3)), [weak(Severity.LOW, "exponent")], id="rsa_exponent"),
        pytest.param(lambda: private_bytes(dsa_key()), [weak(Severity.HIGH, "dsa")], id="dsa"),
        pytest.param(lambda: private_bytes(ec_key("secp192r1")), [weak(Severity.HIGH, "curve")], id="p192"),
        pytest.param(lambda: private_bytes(rsa_key(1024), password=b"pw"), [], id="encrypted_cannot_be_judged"),
        pytest.param(lambda: private_bytes(rsa_key(1024), form="TraditionalOpenSSL", password=b"pw"), [], id="encrypted_traditional"),
        pytest.param(lambda: private_bytes(rsa_key(1024)).replace(b"\n", b"\r\n"), [weak(Severity.HIGH, "size")], id="crlf"),
        pytest.param(lambda: b'{"key": "' + private_bytes(rsa_key(1024)).replace(b"\n", b"\\n") + b'"}', [weak(Severity.HIGH, "size")], id="json_string"),
        pytest.param(lambda: private_bytes(rsa_key(1024))[:-30], [], id="truncated"),
        pytest.param(lambda: b"-----BEGIN RSA PRIVATE KEY-----\n" + b"QUJD" * 100 + b"\n-----END RSA PRIVATE KEY-----", [], id="garbage"),
        pytest.param(lambda: b"-----BEGIN PRIVATE KEY-----\n" + b"MIMA" + b"gAAA" * 2000 + b"\n-----END PRIVATE KEY-----", [], id="asn1_bomb"),
        pytest.param(lambda: b"-----BEGIN PRIVATE KEY-----" * 200, [], id="headers_only"),
        pytest.param(lambda: b"\xff\xfe-----BEGIN PRIVATE KEY-----\0\xff-----END", [], id="not_text"),
    ],
)  # fmt: skip
def test_pem(text, want):
    assert weaknesses(outputs(PEM, text())) == want


def test_dsa_of_ssh_is_known_without_loading_it():
    blob = b"openssh-key-v1\0" + b"\0\0\0\x04none" * 2 + b"\0\0\0\0" + b"\0\0\0\x01" + b"\0\0\0\x07ssh-dss" + b"\1" * 200  # fmt: skip
    import base64

    text = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.encodebytes(blob) + b"-----END OPENSSH PRIVATE KEY-----\n"  # fmt: skip
    assert weaknesses(outputs(PEM, text)) == [weak(Severity.HIGH, "dsa")]


def test_pem_finding_has_a_place_and_no_key():
    body = private_bytes(rsa_key(1024))
    kept, found = outputs(PEM, b"first line\n" + body, "app/key.pem")
    assert kept == Kept(
        key=PRIVATE_KEY, path="app/key.pem", data=spki_sha256(rsa_key(1024)).encode()
    )
    assert (found.line, found.offset, found.path) == (2, 11, "app/key.pem")
    assert body.splitlines()[3].decode() not in repr(found)


def test_keys_of_self_tests_protect_nothing():
    assert outputs(PEM, private_bytes(dsa_key()), "usr/lib/x86_64-linux-gnu/libgnutls.so.30") == []


def test_keys_of_the_config_are_not_kept():
    out = outputs(PEM, private_bytes(rsa_key(1024)), "config:Env/KEY")
    assert [type(o) for o in out] == [Finding]


IN_IMAGE = "crypto/private-key-in-image"


@pytest.mark.parametrize(
    ("path", "mode", "body", "want"),
    [
        pytest.param("etc/tls/a.der", 0o600, lambda: private_bytes(rsa_key(), "DER"), [(IN_IMAGE, Severity.HIGH, None)], id="bare"),
        pytest.param("etc/tls/a.key", 0o600, lambda: private_bytes(ec_key(), "DER", "TraditionalOpenSSL"), [(IN_IMAGE, Severity.HIGH, None)], id="sec1"),
        pytest.param("etc/tls/a.key", 0o600, lambda: private_bytes(rsa_key(1024), "DER", "TraditionalOpenSSL"), [(IN_IMAGE, Severity.HIGH, None), weak(Severity.HIGH, "size")], id="weak"),
        pytest.param("etc/tls/a.der", 0o600, lambda: private_bytes(rsa_key(), "DER", password=b"x"), [(IN_IMAGE, Severity.LOW, None)], id="encrypted"),
        pytest.param("etc/tls/a.der", 0o644, lambda: private_bytes(rsa_key(), "DER", password=b"x"), [(IN_IMAGE, Severity.MEDIUM, None)], id="encrypted_readable"),
        pytest.param("app/tests/a.der", 0o644, lambda: private_bytes(rsa_key(), "DER"), [(IN_IMAGE, Severity.LOW, None)], id="sample"),
        pytest.param("a.key", 0o644, lambda: private_bytes(rsa_key(1024)), [], id="pem_is_not_ours"),
        pytest.param("a.der", 0o644, lambda: private_bytes(rsa_key(), "DER")[:-5], [], id="cut_off"),
        pytest.param("a.der", 0o644, lambda: b"\x30\x82\xff\xff\x02\x01\x00" + b"\x30\x80" * 5000, [], id="asn1_bomb"),
        pytest.param("a.key", 0o644, lambda: b"", [], id="empty"),
        pytest.param("a.key", 0o644, lambda: b"\x30" * 100_000, [], id="large"),
    ],
)  # fmt: skip
def test_der(path, mode, body, want):
    assert weaknesses(DER.parse(LayerFile(path, body(), mode))) == want


def test_close_primes_and_small_sizes():
    facts = facts_of_private(rsa_key(512))
    assert facts.label == "rsa 511 bits"
    assert [w.code for w in facts.weaknesses] == ["size"]


def test_roca_mark():
    primorial = 2 * 3 * 5 * 7 * 11 * 13 * 17 * 19 * 23 * 29 * 31 * 37 * 41 * 43 * 47 * 53 * 59 * 61 * 67 * 71 * 73 * 79 * 83 * 89 * 97 * 101 * 103 * 107 * 109 * 113 * 127 * 131 * 137 * 139 * 149 * 151 * 157 * 163 * 167  # fmt: skip
    marked = 12345 * primorial + pow(65537, 99, primorial)
    assert is_roca(marked)
    assert not is_roca(marked + 2)
    assert not is_roca(rsa_key().private_numbers().public_numbers.n)
