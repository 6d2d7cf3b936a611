"""Crypto libraries by the strings in binaries; the layouts are those of Debian's and PyPI's builds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import cryptography
import pytest
from support.image_view import StillImage
from support.pattern_harness import outputs

from scanner.analyzers.crypto.libraries import ANALYZERS, end_of_life, judge_at
from scanner.model import Finding, Kept, Package

STRINGS, _ = ANALYZERS
ELF = b"\x7fELF\2\1\1" + b"\0" * 57
CODE = b'\0OPENSSLDIR: "/usr/lib/ssl"\0'


def view(*files, packages=()):
    kept = [o for path, body in files for o in outputs(STRINGS, body, path)]
    assert all(isinstance(o, Kept) for o in kept)
    return StillImage(files=kept, packages=packages)


def libraries(body, path="usr/lib/x.so"):
    out = judge_at(view((path, body)), date(2000, 1, 1))
    return [(p.name, p.version, p.path) for p in out]


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(b"\0OpenSSL 3.0.11 19 Sep 2023\x003.0.11\0" + CODE, ("openssl", "3.0.11"), id="openssl_3"),
        pytest.param(b"\0OpenSSL 1.1.1k  25 Mar 2021\0" + CODE, ("openssl", "1.1.1k"), id="openssl_1_1"),
        pytest.param(b"\0OpenSSL 1.0.2k-fips  26 Jan 2017\0\0SHA1 part of OpenSSL 1.0.2k-fips  26 Jan 2017\0", ("openssl", "1.0.2k"), id="openssl_fips"),
        pytest.param(b"\0OpenSSL 3.0.13+quic 30 Jan 2024\0" + CODE, ("openssl", "3.0.13"), id="openssl_quic"),
        pytest.param(b"\0OpenSSL 3.0.0-beta2 29 Jul 2021\0" + CODE, ("openssl", "3.0.0-beta2"), id="openssl_beta"),
        pytest.param(b"\0LibreSSL 3.8.2\0\0OpenSSL PKCS#1 RSA\0", ("libressl", "3.8.2"), id="libressl"),
        pytest.param(b"\0OpenSSL 1.1.1 (compatible; AWS-LC 1.17.0)\0" + CODE, ("aws-lc", "1.17.0"), id="aws_lc"),
        pytest.param(b"\0Enabled GnuTLS 3.7.9 logging...\n\0", ("gnutls", "3.7.9"), id="gnutls"),
        pytest.param(b"\n\nThis is Libgcrypt 1.10.1 - The GNU Crypto Library\n", ("libgcrypt", "1.10.1"), id="libgcrypt"),
        pytest.param(b"\0mbed TLS 2.28.3\0MBEDTLS_HAVE_ASM\0", ("mbedtls", "2.28.3"), id="mbedtls_2"),
        pytest.param(b"\0Mbed TLS 3.6.0\0", ("mbedtls", "3.6.0"), id="mbedtls_3"),
        pytest.param(b"./src/pk.c\0wolfSSL 5.5.4\0FFDHE", ("wolfssl", "5.5.4"), id="wolfssl"),
        pytest.param(b"\0Version: NSS 3.87.1\0\0", ("nss", "3.87.1"), id="nss"),
        pytest.param(b"\0Botan 2.19.3 (unreleased, revision unknown, distribution Debian)\0", ("botan", "2.19.3"), id="botan"),
        pytest.param(b"\0LibTomCrypt 1.18.2 (www.libtom.net)\n", ("libtomcrypt", "1.18.2"), id="libtomcrypt"),
        pytest.param(b"\0SSH-2.0-libssh2_1.10.0\r\n\0", ("libssh2", "1.10.0"), id="libssh2"),
        pytest.param(b"\0SSH-2.0-libssh_0.10.6\r\n\0", ("libssh", "0.10.6"), id="libssh"),
        pytest.param(b"\0SSH-2.0-dropbear_2022.83\r\n\0", ("dropbear", "2022.83"), id="dropbear"),
        pytest.param(b"\0built with OpenSSL 3.0.11 19 Sep 2023\0", None, id="compiled_against_only"),
        pytest.param(b"\0OpenSSL 1.1.1 (compatible; BoringSSL)\0" + CODE, None, id="boringssl_has_no_version"),
        pytest.param(b"\0requires OpenSSL 1.1.1 or newer\0" + CODE, None, id="a_sentence"),
        pytest.param(b"\0Version: NSS Builtin Trusted Root CAs 2.60\0", None, id="nss_roots"),
        pytest.param(b"\0uses mbed TLS 2.28.3 for TLS\0", None, id="a_sentence_of_mbedtls"),
        pytest.param(b"OpenSSL 9", None, id="cut_off"),
        pytest.param(b"OpenSSL 1.1.1" * 2000, None, id="repeated"),
    ],
)  # fmt: skip
def test_binaries(body, want):
    found = libraries(ELF + body)
    assert found == ([(*want, "usr/lib/x.so")] if want else [])


@pytest.mark.parametrize(
    "head", [b"#!/bin/sh\n", b"<html>", b""], ids=["script", "document", "nothing"]
)
def test_only_binaries(head):
    assert libraries(head + b"\0OpenSSL 3.0.11 19 Sep 2023\0" + CODE) == []


def test_nss_is_named_once():
    body = ELF + b"\0Version: NSS 3.87.1\0"
    paths = ["usr/lib/libnss3.so", "usr/lib/libssl3.so", "usr/lib/libsmime3.so"]
    out = judge_at(view(*((p, body) for p in paths)), date(2000, 1, 1))
    assert [p.path for p in out] == ["usr/lib/libnss3.so"]


def test_a_real_library():
    (path,) = (Path(cryptography.__file__).parent / "hazmat/bindings").glob("_rust*.so")
    from cryptography.hazmat.backends.openssl.backend import backend

    version = backend.openssl_version_text().split()[1]
    assert libraries(path.read_bytes(), "x.so") == [("openssl", version, "x.so")]


OLD = ELF + b"\0OpenSSL 1.1.1k  25 Mar 2021\0" + CODE
DEB = Package(
    purl_type="deb",
    name="libssl1.1",
    version="1.1.1k-1+deb11u2",
    path="var/lib/dpkg/status",
    source_name="openssl",
    from_distribution=True,
)


@pytest.mark.parametrize(
    ("today", "packages", "want"),
    [
        pytest.param(date(2023, 1, 1), (), [], id="still_supported"),
        pytest.param(date(2024, 1, 1), (), ["crypto/library-end-of-life"], id="ended"),
        pytest.param(date(2024, 1, 1), (DEB,), [], id="the_distribution_looks_after_it"),
    ],
)
def test_end_of_life(today, packages, want):
    out = list(judge_at(view(("opt/x", OLD), packages=packages), today))
    package = Package(purl_type="generic", name="openssl", version="1.1.1k", path="opt/x")
    assert out[0] == package
    findings = [o for o in out if isinstance(o, Finding)]
    assert [f.rule_id for f in findings] == want
    assert all(f.package == package.purl for f in findings)


@pytest.mark.parametrize(
    ("name", "version", "want"),
    [
        ("openssl", "3.5.8", None),
        ("openssl", "3.0.2", date(2026, 9, 7)),
        ("openssl", "0.9.8zh", date(2015, 12, 31)),
        ("mbedtls", "2.16.9", date(2021, 12, 31)),
        ("mbedtls", "2.24.0", date(2025, 3, 31)),
        ("mbedtls", "3.6.0", None),
        ("gnutls", "3.0.0", None),
        ("openssl", "", None),
    ],
)
def test_lines(name, version, want):
    end = end_of_life(name, version)
    assert (end.ended if end else None) == want
