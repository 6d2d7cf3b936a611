"""Private keys: weak ones in PEM anywhere, and those in DER that no text rule can see.

That a PEM private key *is* in the image is what the secret rules say; here it is only judged.
Source: https://www.rfc-editor.org/rfc/rfc5958 (PKCS #8), https://www.rfc-editor.org/rfc/rfc7468 (PEM)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from scanner.analyzers._keys import (
    PRIVATE_KEY,
    KeyFacts,
    Weakness,
    facts_of_private,
    is_sample,
    quiet,
    unusual_curve,
)
from scanner.model import Finding, Kept, Kind, Severity
from scanner.ports import (
    FileAnalyzer,
    Hit,
    Interest,
    LayerFile,
    Output,
    Pattern,
    PatternAnalyzer,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_PEM_BYTES: Final = 16 * 1024
_DER_BYTES: Final = 32 * 1024
_DSA_BITS: Final = 1_024
_HEADER: Final = re.compile(rb"-----BEGIN ((?:RSA |DSA |EC |OPENSSH )?PRIVATE KEY)-----\Z")
_NOT_BASE64: Final = re.compile(rb"\\[nrt]|[\s\\\"',;>|`]")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}\Z")
_SSH_DSS: Final = b"\0\0\0\x07ssh-dss"
_SELF_TESTS: Final = re.compile(
    r"(?:.*/)?lib(?:gnutls|gcrypt|mbedcrypto|wolfssl|crypto|ssl|softokn3|freebl\w*|botan)[-.]"
)
"""Crypto libraries carry the keys of their self-tests, weak ones too; they protect nothing."""
_OTHERS_READ: Final = 0o004
_PLAIN_DER: Final = re.compile(rb"\x30(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01[\x00\x01]", re.DOTALL)
_ENCRYPTED_DER: Final = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x81.|\x82..)\x30(?:[\x00-\x7f]|\x81.|\x82..)\x06"
    rb"(?:\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05.|\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01.)",
    re.DOTALL,
)
"""EncryptedPrivateKeyInfo: its algorithm is of PKCS #5 or of PKCS #12."""


def _facts(load: PrivateKeyTypes | Exception) -> KeyFacts | None:
    return unusual_curve(load) if isinstance(load, Exception) else facts_of_private(load)


def _load(label: bytes, der: bytes) -> PrivateKeyTypes | Exception:
    """Load a key, its arithmetic unchecked: a hostile key must not cost seconds of prime tests."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415

    try:
        with quiet():
            if label.startswith(b"OPENSSH"):
                pem = b"-----BEGIN %s-----\n%s-----END %s-----\n"
                text = pem % (label, base64.encodebytes(der), label)
                return s.load_ssh_private_key(text, None)
            return s.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError) as error:
        return error


def facts_of(label: bytes, der: bytes) -> KeyFacts | None:
    """Return the facts of an unencrypted key; None for one that is encrypted or none."""
    if label.startswith(b"OPENSSH") and _SSH_DSS in der[:1024]:
        weak = Weakness(
            "dsa", f"DSA with {_DSA_BITS} bits; DSA is withdrawn", Severity.HIGH
        )  # its loading is on its way out of the library
        return KeyFacts("dsa", _DSA_BITS, "", hashlib.sha256(der).hexdigest(), (weak,))
    return _facts(_load(label, der))


def pem_body(text: bytes) -> bytes | None:
    """Return the bytes of a PEM body, also of one written as a string of a program; None for no base64."""
    body = _NOT_BASE64.sub(b"", text)
    if not _BASE64.match(body):
        return None
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        return None


def _weak_findings(
    facts: KeyFacts, path: str, identity: str, line: int | None, offset: int | None
) -> Iterator[Finding]:
    for weakness in facts.weaknesses:
        yield Finding(
            rule_id="crypto/weak-private-key",
            kind=Kind.CRYPTO,
            severity=Severity.INFO if is_sample(path) else weakness.severity,
            title=f"Weak private key: {weakness.text}",
            why="What it signs can be forged and what it protects can be read, without ever seeing the key.",
            remedy="Replace it by a new Ed25519, P-256 or RSA key of at least 3072 bits, kept outside the image.",
            path=path,
            line=line,
            offset=offset,
            evidence={
                "type": facts.type,
                "bits": str(facts.bits),
                "weakness": weakness.code,
                "spki_sha256": facts.spki_sha256,
            },
            identity=f"{weakness.code}:{facts.spki_sha256 or identity}",
        )


def inspect(hit: Hit) -> Iterator[Output]:
    """Yield the weaknesses of a PEM private key, and keep what a certificate beside it is known by."""
    header = _HEADER.search(hit.window, 0, hit.end)
    stop = hit.window.find(b"-----END", hit.end)
    if header is None or stop < 0 or _SELF_TESTS.match(hit.path):
        return
    der = pem_body(hit.window[hit.end : stop])
    facts = facts_of(header[1], der) if der else None
    if der is None or facts is None:
        return
    if facts.spki_sha256 and not hit.path.startswith("config:") and not is_sample(hit.path):
        yield Kept(key=PRIVATE_KEY, path=hit.path, data=facts.spki_sha256.encode())
    start = header.start()
    identity = hashlib.sha256(der).hexdigest()
    yield from _weak_findings(facts, hit.path, identity, hit.line_at(start), hit.offset + start)


def severity_of(file: LayerFile, *, encrypted: bool) -> Severity:
    """High for a bare key; low for an encrypted one, medium if anybody may read it; samples low."""
    if is_sample(file.path):
        return Severity.INFO if encrypted else Severity.LOW
    if not encrypted:
        return Severity.HIGH
    return Severity.MEDIUM if file.mode & _OTHERS_READ else Severity.LOW


def _in_image(file: LayerFile, der: bytes, label: str, *, encrypted: bool) -> Finding:
    sha256 = hashlib.sha256(der).hexdigest()
    return Finding(
        rule_id="crypto/private-key-in-image",
        kind=Kind.CRYPTO,
        severity=severity_of(file, encrypted=encrypted),
        title=f"Private key in DER ({label})",
        why="Everybody who may pull the image has the key; a password on it can be guessed at offline.",
        remedy="Replace the key, give the new one at run time, and rebuild without it.",
        path=file.path,
        evidence={
            "encrypted": "yes" if encrypted else "no",
            "mode": f"{file.mode:04o}",
            "sha256": sha256,
        },
        identity=sha256,
    )


def parse(file: LayerFile) -> Iterator[Output]:
    """Yield findings for a file that is a DER private key; anything else has other readers or none."""
    if len(file.data) > _DER_BYTES:
        return
    der = file.data[:]
    if _ENCRYPTED_DER.match(der):
        yield _in_image(file, der, "encrypted", encrypted=True)
    elif _PLAIN_DER.match(der) and (facts := facts_of(b"", der)):
        yield _in_image(file, der, facts.label, encrypted=False)
        if facts.spki_sha256:
            yield Kept(key=PRIVATE_KEY, path=file.path, data=facts.spki_sha256.encode())
        yield from _weak_findings(facts, file.path, hashlib.sha256(der).hexdigest(), None, None)


ANALYZERS: Final = (
    PatternAnalyzer(
        name="crypto/pem-private-keys",
        version=1,
        patterns=(
            Pattern(
                id="crypto/pem-private-key",
                expression="-----BEGIN (RSA |DSA |EC |OPENSSH )?PRIVATE KEY-----",
                before=64,
                after=_PEM_BYTES,
            ),
        ),
        inspect=inspect,
        summary="weak private keys in PEM, anywhere",
    ),
    FileAnalyzer(
        name="crypto/der-private-keys",
        version=1,
        interest=Interest(globs=("**/*.der", "**/*.key", "**/*.pk8", "**/*.p8")),
        parse=parse,
        max_file_bytes=64 * 1024 * 1024,
        summary="private keys in DER",
    ),
)
