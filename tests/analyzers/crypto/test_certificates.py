"""Certificates made at run time: weak, expired, with their key, and trust stores left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.image_view import StillImage
from support.made_keys import NOW, certificate, der, ec_key, pem, private_bytes, rsa_key
from support.pattern_harness import outputs

from scanner.analyzers.crypto.certificates import ANALYZERS, bodies, judge_at
from scanner.analyzers.crypto.private_keys import ANALYZERS as KEYS
from scanner.model import Finding, Kept, Severity
from scanner.ports import LayerFile

FILES, _ = ANALYZERS
PEM_KEYS, _ = KEYS
RSA_SHA256 = bytes.fromhex("2a864886f70d01010b")


def parse(body, path="app/server.crt"):
    return list(FILES.parse(LayerFile(path, body)))


def of(kind, out):
    return [o for o in out if isinstance(o, kind)]


def issued(**options):
    return certificate(rsa_key(), issuer="ca.test", signer=ec_key(), **options)


def over(algorithm: int, **options):
    """A certificate that says it is signed by RSA over a hash that the library no longer signs."""
    made = der(certificate(rsa_key(), signer=rsa_key(), **options))
    assert made.count(RSA_SHA256) == 2
    return made.replace(RSA_SHA256, RSA_SHA256[:-1] + bytes([algorithm]))


@pytest.mark.parametrize(
    ("make", "want"),
    [
        pytest.param(lambda: pem(issued()), [], id="fine"),
        pytest.param(lambda: der(issued()), [], id="fine_der"),
        pytest.param(lambda: over(5, issuer="ca.test"), [("crypto/weak-certificate-signature", Severity.MEDIUM)], id="sha1"),
        pytest.param(lambda: over(4, issuer="ca.test"), [("crypto/weak-certificate-signature", Severity.HIGH)], id="md5"),
        pytest.param(lambda: over(5), [], id="sha1_self_signed"),
        pytest.param(lambda: pem(certificate(rsa_key(1024))), [("crypto/weak-certificate-key", Severity.HIGH)], id="rsa_1024"),
        pytest.param(lambda: pem(certificate(rsa_key(1024), ca=True)), [("crypto/weak-certificate-key", Severity.HIGH)], id="weak_root_outside_of_trust_stores"),
        pytest.param(lambda: pem(certificate(rsa_key(1024), ca=True, issuer="x", signer=ec_key())), [("crypto/weak-certificate-key", Severity.HIGH)], id="weak_intermediate"),
        pytest.param(lambda: b"text\n" + pem(issued()) + b"more" + pem(certificate(rsa_key(1024))), [("crypto/weak-certificate-key", Severity.HIGH)], id="two"),
        pytest.param(lambda: private_bytes(ec_key()), [], id="only_a_key"),
        pytest.param(lambda: b"", [], id="empty"),
        pytest.param(lambda: private_bytes(rsa_key(), "DER"), [], id="der_key"),
        pytest.param(lambda: pem(certificate(rsa_key(1024))) * 100_000, [], id="bundle_of_100000"),
    ],
)  # fmt: skip
def test_findings(make, want):
    out = parse(make())
    assert [(f.rule_id, f.severity) for f in of(Finding, out)] == want


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: pem(issued())[:-40], id="truncated"),
        pytest.param(lambda: b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", id="garbage"),
        pytest.param(lambda: b"-----BEGIN CERTIFICATE-----\n" + b"MIIB" * 500 + b"\n-----END CERTIFICATE-----", id="not_asn1"),
        pytest.param(lambda: der(issued())[:-3], id="truncated_der"),
        pytest.param(lambda: b"\x30\x82\xff\xff\x30\x82\xff\xf0\xa0\x03\x02\x01" + b"\x30\x80" * 9999, id="asn1_bomb"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(make):
    (found,) = parse(make())
    assert (found.rule_id, found.severity) == ("crypto/unreadable-certificate", Severity.LOW)
    assert found.evidence == {"certificates": "1"}


def test_one_bad_certificate_leaves_the_others_unharmed():
    body = b"-----BEGIN CERTIFICATE-----\nAAAA\n" + pem(certificate(rsa_key(1024)))
    weak, unreadable, kept = parse(body)
    assert (weak.rule_id, type(kept)) == ("crypto/weak-certificate-key", Kept)
    assert unreadable.evidence == {"certificates": "1"}


def test_samples_alarm_nobody_and_do_not_age():
    (found,) = parse(pem(certificate(rsa_key(1024), days=-1)), "lib/python3/test/certdata/a.pem")
    assert (found.rule_id, found.severity) == ("crypto/weak-certificate-key", Severity.INFO)


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/ca-certificates/mozilla/X.crt",
        "etc/ssl/certs/ca-certificates.crt",
        "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "venv/lib/python3.11/site-packages/certifi/cacert.pem",
    ],
)
def test_trust_stores_are_left_alone(path):
    assert parse(pem(certificate(rsa_key(1024), days=-1)), path) == []


def image(*files):
    kept = []
    for path, body in files:
        kept += of(Kept, parse(body, path)) + of(Kept, outputs(PEM_KEYS, body, path))
    return StillImage(files=kept)


@pytest.mark.parametrize(
    ("days", "ca", "want"),
    [
        pytest.param(400, None, [], id="valid"),
        pytest.param(20, None, [("crypto/certificate-expires-soon", Severity.LOW)], id="soon"),
        pytest.param(-1, None, [("crypto/certificate-expired", Severity.MEDIUM)], id="expired"),
        pytest.param(-1, True, [], id="root"),
    ],
)
def test_age(days, ca, want):
    view = image(("app/server.crt", pem(certificate(ec_key(), days=days, ca=ca))))
    assert [(f.rule_id, f.severity) for f in judge_at(view, NOW)] == want


def test_the_same_layer_ages():
    view = image(("app/server.crt", pem(certificate(ec_key(), days=365))))
    assert list(judge_at(view, NOW)) == []
    (found,) = judge_at(view, NOW + timedelta(days=366))
    assert found.rule_id == "crypto/certificate-expired"


@pytest.mark.parametrize(
    ("files", "want"),
    [
        pytest.param(lambda: [("a.pem", pem(certificate(ec_key())) + private_bytes(ec_key()))], [("crypto/self-signed-server-certificate", "a.pem", "a.pem")], id="one_file"),
        pytest.param(lambda: [("etc/ssl/certs/snake.pem", pem(certificate(ec_key()))), ("etc/ssl/private/snake.pem", private_bytes(ec_key()))], [("crypto/self-signed-server-certificate", "etc/ssl/certs/snake.pem", "etc/ssl/private/snake.pem")], id="two_files"),
        pytest.param(lambda: [("a.crt", pem(issued())), ("b.pem", private_bytes(rsa_key()))], [("crypto/server-identity-in-image", "a.crt", "b.pem")], id="issued"),
        pytest.param(lambda: [("a.crt", pem(issued())), ("b.pem", private_bytes(ec_key()))], [], id="another_key"),
        pytest.param(lambda: [("a.crt", pem(certificate(ec_key())))], [], id="no_key"),
    ],
)  # fmt: skip
def test_identity(files, want):
    out = judge_at(image(*files()), NOW)
    assert [(f.rule_id, f.path, f.evidence["key_path"]) for f in out] == want


def test_a_server_that_is_its_own_root_ages():
    body = pem(certificate(ec_key(), ca=True, days=-1)) + private_bytes(ec_key())
    assert [f.rule_id for f in judge_at(image(("a.pem", body)), NOW)] == [
        "crypto/self-signed-server-certificate",
        "crypto/certificate-expired",
    ]


def test_bodies_are_bounded():
    begin = b"-----BEGIN CERTIFICATE-----"
    assert list(bodies(begin * 5)) == [begin] * 5
    (one,) = bodies(begin + b"A" * 10_000_000 + b"-----END CERTIFICATE-----")
    assert len(one) == 64 * 1024
