"""Key stores made at run time: with keys, with certificates only, open, closed and broken."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    NoEncryption,
    pkcs12,
)
from support.made_keys import certificate, der, rsa_key

from scanner.analyzers.crypto.keystores import ANALYZERS
from scanner.errors import MalformedFileError
from scanner.model import Severity
from scanner.ports import LayerFile

(STORES,) = ANALYZERS
JKS, JCEKS = 0xFEEDFEED, 0xCECECECE


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def block(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def chain_of(*certificates: bytes) -> bytes:
    body = b"".join(text("X.509") + block(c) for c in certificates)
    return struct.pack(">I", len(certificates)) + body


def jks(*, keys=0, certificates=0, password="changeit", magic=JKS, count=None):
    body = struct.pack(">III", magic, 2, keys + certificates if count is None else count)
    for n in range(keys):
        body += struct.pack(">I", 1) + text(f"k{n}") + bytes(8) + block(b"\x30" * 40)
        body += chain_of(der(certificate(rsa_key())))
    for n in range(certificates):
        body += struct.pack(">I", 2) + text(f"c{n}") + bytes(8) + text("X.509") + block(b"\x30" * 9)
    seal = hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body)
    return body + seal.digest()


def bks(*entries: bytes, version=2):
    return struct.pack(">I", version) + block(b"s" * 20) + bytes(4) + b"".join(entries) + b"\0" + bytes(20)  # fmt: skip


BKS_CERTIFICATE = b"\1" + text("c") + bytes(8) + chain_of() + text("X.509") + block(b"der")
BKS_SEALED = b"\4" + text("k") + bytes(8) + chain_of(b"der") + block(b"sealed")
BKS_BARE = b"\2" + text("k") + bytes(8) + chain_of() + b"\0" + text("PKCS#8") + text("RSA") + block(b"der")  # fmt: skip


def p12(password: bytes | None, *, with_key=True):
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    made = certificate(rsa_key())
    key = rsa_key() if with_key else None
    others = None if with_key else [made]
    return pkcs12.serialize_key_and_certificates(b"n", key, made if with_key else None, others, how)


def said(path, body, mode=0o600):
    return [
        (f.severity, f.evidence["format"], f.evidence["encrypted"], f.evidence["password"])
        for f in STORES.parse(LayerFile(path, body, mode))
    ]


LOW, MEDIUM, HIGH = Severity.LOW, Severity.MEDIUM, Severity.HIGH


@pytest.mark.parametrize(
    ("path", "make", "want"),
    [
        pytest.param("a.jks", lambda: jks(keys=1), [(HIGH, "JKS", "yes", "default")], id="jks_changeit"),
        pytest.param("a.jks", lambda: jks(keys=1, certificates=2, password="0ther"), [(LOW, "JKS", "yes", "unknown")], id="jks_closed"),
        pytest.param("a.jks", lambda: jks(keys=2, password=""), [(HIGH, "JKS", "yes", "empty")], id="jks_empty_password"),
        pytest.param("lib/security/cacerts", lambda: jks(certificates=150), [], id="cacerts"),
        pytest.param("a.jceks", lambda: jks(keys=1, magic=JCEKS), [(HIGH, "JCEKS", "yes", "default")], id="jceks"),
        pytest.param("a.jks", jks, [], id="jks_empty"),
        pytest.param("a.bks", lambda: bks(BKS_CERTIFICATE), [], id="bks_certificates"),
        pytest.param("a.bks", lambda: bks(BKS_CERTIFICATE, BKS_SEALED), [(LOW, "BKS", "yes", "unknown")], id="bks_sealed"),
        pytest.param("a.bks", lambda: bks(BKS_BARE), [(HIGH, "BKS", "no", "unknown")], id="bks_bare"),
        pytest.param("a.p12", lambda: p12(b"changeit"), [(HIGH, "PKCS#12", "yes", "default")], id="p12_changeit"),
        pytest.param("a.p12", lambda: p12(b"s3cret-and-long"), [(LOW, "PKCS#12", "yes", "unknown")], id="p12_closed"),
        pytest.param("a.pfx", lambda: p12(None), [(HIGH, "PKCS#12", "no", "empty")], id="p12_bare"),
        pytest.param("a.p12", lambda: p12(b"changeit", with_key=False), [], id="p12_certificates"),
        pytest.param("a.p12", lambda: b"-----BEGIN PRIVATE KEY-----", [], id="p12_is_pem"),
        pytest.param("a.keystore", lambda: b"", [], id="empty"),
        pytest.param("a.p12", lambda: b"\x30\x82\xff\xff\x02\x01\x03" + b"\x30\x84\xff\xff\xff\xff" * 9999, [], id="p12_noise"),
        pytest.param("a.p12", lambda: b"\x30\x03\x02\x01\x03", [], id="p12_nothing_in_it"),
    ],
)  # fmt: skip
def test_stores(path, make, want):
    assert said(path, make()) == want


def test_readable_by_all_is_worse_and_samples_are_less():
    assert said("a.p12", p12(b"s3cret-and-long"), 0o644)[0][0] is MEDIUM
    assert said("test/a.jks", jks(keys=1), 0o644)[0][0] is LOW


def test_iterations_are_bounded():
    body = p12(b"changeit")
    at = body.rfind(b"\x02\x02")  # the checksum's count of iterations stands last
    assert int.from_bytes(body[at + 2 :], "big") == int.from_bytes(body[-2:], "big")
    assert said("a.p12", body[:-2] + b"\x7f\xff")[0][3] == "unknown"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(jks(keys=1)[:-40], id="jks_cut_off"),
        pytest.param(jks(count=2**32 - 1), id="jks_count"),
        pytest.param(b"\xfe\xed\xfe\xed", id="jks_magic_only"),
        pytest.param(bks(BKS_SEALED)[:-30], id="bks_cut_off"),
        pytest.param(bks(b"\x09" + text("x") + bytes(8) + chain_of()), id="bks_unknown_entry"),
    ],
)
def test_broken_stores(body):
    with pytest.raises(MalformedFileError):
        list(STORES.parse(LayerFile("a.bks", body)))


@pytest.mark.skipif(shutil.which("keytool") is None, reason="keytool (of a JDK) is not installed")
@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
def test_a_store_of_keytool(tmp_path, kind):
    path = tmp_path / "made.keystore"
    command = ["keytool", "-genkeypair", "-keyalg", "EC", "-dname", "CN=x", "-alias", "x"]
    options = ["-storetype", kind, "-storepass", "changeit", "-keypass", "changeit"]
    subprocess.run([*command, *options, "-keystore", path], check=True, capture_output=True)
    name = {"JKS": "JKS", "PKCS12": "PKCS#12"}[kind]
    assert said("app/made.keystore", path.read_bytes()) == [(HIGH, name, "yes", "default")]
