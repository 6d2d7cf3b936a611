"""Password hashes in an image; the hashes are made up from parts, and none reaches a finding."""

from __future__ import annotations

import hashlib

import pytest

from scanner.analyzers.crypto.passwords import ANALYZERS
from scanner.model import Severity
from scanner.ports import LayerFile

PASSWORDS, LOGIN_DEFS = ANALYZERS
TAIL = "Ab/." * 12
IN_IMAGE, WEAK = "config/password-hash-in-image", "crypto/weak-password-hash"


def found(password, path="etc/shadow"):
    line = f"root:{password}:19000:0:99999:7:::\n".encode()
    return [
        (f.rule_id, f.severity, f.evidence["scheme"])
        for f in PASSWORDS.parse(LayerFile(path, line))
    ]


@pytest.mark.parametrize(
    ("password", "want"),
    [
        pytest.param("*", [], id="star"),
        pytest.param("!", [], id="locked"),
        pytest.param("!!", [], id="never_set"),
        pytest.param("x", [], id="shadowed"),
        pytest.param("", [], id="empty"),
        pytest.param("*LK*", [], id="solaris_locked"),
        pytest.param("$6$", [], id="no_hash"),
        pytest.param(f"$6$salt${TAIL}", [(IN_IMAGE, Severity.MEDIUM, "SHA-512")], id="sha512"),
        pytest.param(f"$y$j9T$salt${TAIL}", [(IN_IMAGE, Severity.MEDIUM, "yescrypt")], id="yescrypt"),
        pytest.param(f"!$6$salt${TAIL}", [(IN_IMAGE, Severity.LOW, "SHA-512")], id="locked_hash"),
        pytest.param(f"$1$salt${TAIL[:22]}", [(IN_IMAGE, Severity.MEDIUM, "MD5"), (WEAK, Severity.HIGH, "MD5")], id="md5"),
        pytest.param(TAIL[:13], [(IN_IMAGE, Severity.MEDIUM, "DES"), (WEAK, Severity.HIGH, "DES")], id="des"),
        pytest.param("_" + TAIL[:19], [(IN_IMAGE, Severity.MEDIUM, "BSDi DES"), (WEAK, Severity.HIGH, "BSDi DES")], id="bsdi"),
        pytest.param("$6$" + "A" * 100_000, [], id="too_long"),
    ],
)  # fmt: skip
def test_shadow(password, want):
    assert found(password) == want


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0", b"root", b":$1$a$" + b"b" * 22, b"\xff\xfe:\xff:\n", b":" * 100_000, b"\n" * 1000],
    ids=["empty", "nul", "no_colon", "no_name", "not_utf8", "colons", "blank"],
)  # fmt: skip
def test_hostile(body):
    assert list(PASSWORDS.parse(LayerFile("etc/shadow", body))) == []


def test_no_hash_in_a_finding():
    hashed = f"$1$salt${TAIL[:22]}"
    out = list(PASSWORDS.parse(LayerFile("etc/passwd", f"a:x:0\neve:{hashed}:5:5\n".encode())))
    assert hashed not in repr(out)
    assert {f.identity for f in out} == {hashlib.sha256(hashed.encode()).hexdigest()}
    assert {f.line for f in out} == {2}


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(b"ENCRYPT_METHOD SHA512\nMD5_CRYPT_ENAB no\n", [], id="fine"),
        pytest.param(b"#ENCRYPT_METHOD DES\n  # ENCRYPT_METHOD MD5\n", [], id="comment"),
        pytest.param(b"ENCRYPT_METHOD\tDES # old\n", ["ENCRYPT_METHOD DES"], id="des"),
        pytest.param(b"MD5_CRYPT_ENAB yes\n", ["MD5_CRYPT_ENAB yes"], id="md5"),
    ],
)
def test_login_defs(body, want):
    out = LOGIN_DEFS.parse(LayerFile("etc/login.defs", body))
    assert [f.evidence["setting"] for f in out] == want
