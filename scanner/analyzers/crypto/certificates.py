"""X.509 certificates: weak ones, expired ones, and server identities baked into an image.

A layer's report depends on its bytes only and is kept for ever, so whether a certificate has expired is
asked when the image is looked at, not when the layer is read. Trust stores (bundles, roots) are left
alone: the signature a root has made for itself proves nothing and its age is its owner's business.
Source: https://www.rfc-editor.org/rfc/rfc5280, https://www.rfc-editor.org/rfc/rfc6194 (SHA-1), https://www.rfc-editor.org/rfc/rfc6151 (MD5)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from scanner.analyzers._keys import (
    PRIVATE_KEY,
    KeyFacts,
    facts_of_public,
    is_sample,
    quiet,
    unusual_curve,
)
from scanner.decoding import decode_json
from scanner.model import Finding, Kept, Kind, Severity
from scanner.ports import FileAnalyzer, ImageAnalyzer, ImageView, Interest, LayerFile, Output

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_NAME: Final = "crypto/certificate-files"
_KEPT: Final = "certificate"
_FILE_BYTES: Final = 16 * 1024 * 1024
_BUNDLE_COUNT: Final = 10
"""More certificates in one file are a trust store."""
_CERTIFICATE_BYTES: Final = 64 * 1024
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_LEFT_ALONE: Final = re.compile(
    r"(?:usr/share/doc|usr/share/ca-certificates|usr/share/pki|etc/pki/ca-trust|etc/ca-certificates/extracted|"
    r"etc/pki/tls/certs/ca-bundle|var/lib/ca-certificates)(?:/|[.\w-]*\Z)"
    r"|(?:.*/)?(?:ca-certificates|ca-bundle|cacert|cacerts|tls-ca-bundle|ca-cert)\.(?:pem|crt)\Z"
)
"""Trust stores, and documentation, which is in force nowhere."""
_DER: Final = re.compile(
    rb"\x30(?:\x81.|\x82..)\x30(?:\x81.|\x82..)(?:\xa0\x03\x02\x01|\x02)", re.DOTALL
)
_SOON: Final = timedelta(days=30)
_NAME_CHARS: Final = 200


class KeptCertificate(msgspec.Struct, frozen=True):
    """What is kept of a certificate until the image is looked at."""

    sha256: str
    subject: str
    spki_sha256: str
    not_before: str
    """UTC, ISO 8601."""
    not_after: str
    is_ca: bool
    is_self_signed: bool


class _Signature(NamedTuple):
    hash_name: str
    severity: Severity


_WEAK_SIGNATURES: Final = {
    "md2": _Signature("MD2", Severity.HIGH),
    "md4": _Signature("MD4", Severity.HIGH),
    "md5": _Signature("MD5", Severity.HIGH),
    "sha1": _Signature("SHA-1", Severity.MEDIUM),
}
_OLD_SIGNATURE_OIDS: Final = {
    "1.2.840.113549.1.1.2": "md2",
    "1.2.840.113549.1.1.3": "md4",
    "1.2.840.113549.1.1.4": "md5",
    "1.2.840.113549.1.1.5": "sha1",
    "1.2.840.10040.4.3": "sha1",
    "1.2.840.10045.4.1": "sha1",
    "1.3.14.3.2.29": "sha1",
}


def bodies(data: bytes) -> Iterator[bytes]:
    """Yield PEM or DER of each certificate of a file; nothing for a trust bundle or another kind of file."""
    if _DER.match(data):
        yield data
        return
    if data.count(_BEGIN) > _BUNDLE_COUNT:
        return
    start = data.find(_BEGIN)
    while start >= 0:
        end = data.find(_END, start)
        after = data.find(_BEGIN, start + len(_BEGIN))
        stop = end + len(_END) if end >= 0 and (after < 0 or end < after) else start + len(_BEGIN)
        yield data[start : min(stop, start + _CERTIFICATE_BYTES)]
        start = after


def load(body: bytes) -> Certificate:
    """Return the certificate.

    Raises:
        ValueError: not one.
    """
    from cryptography import x509  # noqa: PLC0415

    with quiet():
        if body.startswith(_BEGIN):
            return x509.load_pem_x509_certificate(body)
        return x509.load_der_x509_certificate(body)


def _is_ca(certificate: Certificate) -> bool:
    from cryptography import x509  # noqa: PLC0415

    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return constraints.value.ca


def _public_facts(certificate: Certificate) -> KeyFacts | None:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    try:
        return facts_of_public(certificate.public_key())
    except (UnsupportedAlgorithm, ValueError) as error:
        return unusual_curve(error)


def _subject(certificate: Certificate) -> str:
    return certificate.subject.rfc4514_string()[:_NAME_CHARS]


def summary_of(certificate: Certificate) -> tuple[KeptCertificate, KeyFacts | None]:
    """Return what to keep of a certificate and the facts of its key.

    Raises:
        ValueError: a field of it cannot be read.
    """
    with quiet():
        facts = _public_facts(certificate)
        der = certificate.tbs_certificate_bytes + certificate.signature
        kept = KeptCertificate(
            sha256=hashlib.sha256(der).hexdigest(),
            subject=_subject(certificate),
            spki_sha256=facts.spki_sha256 if facts else "",
            not_before=certificate.not_valid_before_utc.isoformat(),
            not_after=certificate.not_valid_after_utc.isoformat(),
            is_ca=_is_ca(certificate),
            is_self_signed=certificate.issuer == certificate.subject,
        )
        return kept, facts


def _weak_signature(certificate: Certificate) -> _Signature | None:
    oid = certificate.signature_algorithm_oid.dotted_string
    return _WEAK_SIGNATURES.get(_OLD_SIGNATURE_OIDS.get(oid, ""))


def _signature_finding(path: str, kept: KeptCertificate, weak: _Signature) -> Finding:
    return Finding(
        rule_id="crypto/weak-certificate-signature",
        kind=Kind.CRYPTO,
        severity=Severity.INFO if is_sample(path) else weak.severity,
        title=f"Certificate is signed over {weak.hash_name}",
        why="Collisions can be made, so another certificate may carry the same signature.",
        remedy="Have it issued anew with SHA-256.",
        path=path,
        evidence={"subject": kept.subject, "sha256": kept.sha256, "hash": weak.hash_name},
        identity=kept.sha256,
    )


def _key_findings(path: str, kept: KeptCertificate, facts: KeyFacts) -> Iterator[Finding]:
    for weakness in facts.weaknesses:
        yield Finding(
            rule_id="crypto/weak-certificate-key",
            kind=Kind.CRYPTO,
            severity=Severity.INFO if is_sample(path) else weakness.severity,
            title=f"Certificate with a weak key: {weakness.text}",
            why="Whoever breaks the key can pass for its owner.",
            remedy="Have a certificate issued for a new P-256 or RSA key of at least 3072 bits.",
            path=path,
            evidence={
                "subject": kept.subject,
                "sha256": kept.sha256,
                "weakness": weakness.code,
                "key": facts.label,
            },
            identity=f"{weakness.code}:{kept.sha256}",
        )


def _judge(path: str, body: bytes) -> tuple[KeptCertificate, list[Finding]]:
    """Return what to keep of a certificate and its findings. Raises ValueError."""
    certificate = load(body)
    kept, facts = summary_of(certificate)
    findings: list[Finding] = []
    weak = _weak_signature(certificate)
    if weak and not kept.is_self_signed:
        findings.append(_signature_finding(path, kept, weak))
    findings += _key_findings(path, kept, facts) if facts else ()
    return kept, findings


def _unreadable_finding(path: str, numbers: list[int]) -> Finding:
    return Finding(
        rule_id="crypto/unreadable-certificate",
        kind=Kind.CRYPTO,
        severity=Severity.INFO if is_sample(path) else Severity.LOW,
        title="A certificate is broken",
        why="Programs that need it fail, or have been taught not to look; what it holds could not be judged.",
        remedy="Replace the file by a whole certificate, or remove it.",
        path=path,
        evidence={"certificates": ",".join(map(str, numbers))},
    )


def parse(file: LayerFile) -> Iterator[Output]:
    """Yield findings of a file's certificates and keep what their age is judged by.

    One that cannot be read is a finding; the others of the file are unharmed.
    """
    if _LEFT_ALONE.match(file.path):
        return
    kept: list[KeptCertificate] = []
    unreadable: list[int] = []
    for number, body in enumerate(bodies(file.data[:]), 1):
        try:
            certificate, findings = _judge(file.path, body)
        except (ValueError, OverflowError):
            unreadable.append(number)
            continue
        kept.append(certificate)
        yield from findings
    if unreadable:
        yield _unreadable_finding(file.path, unreadable)
    if kept and not is_sample(file.path):
        yield Kept(key=_KEPT, path=file.path, data=msgspec.json.encode(kept))


def _age_finding(path: str, kept: KeptCertificate, now: datetime) -> Finding | None:
    not_after = datetime.fromisoformat(kept.not_after)
    if not_after >= now + _SOON:
        return None
    expired = not_after < now
    return Finding(
        rule_id="crypto/certificate-expired" if expired else "crypto/certificate-expires-soon",
        kind=Kind.CRYPTO,
        severity=Severity.MEDIUM if expired else Severity.LOW,
        title=f"Certificate {'expired' if expired else 'expires'} on {not_after:%Y-%m-%d}",
        why="Peers refuse it, or have been taught not to look.",
        remedy="Renew it, and give it at run time so that the image need not be rebuilt for it.",
        path=path,
        evidence={
            "subject": kept.subject,
            "not_after": kept.not_after,
            "sha256": kept.sha256,
        },
        identity=kept.sha256,
    )


def _identity_finding(path: str, kept: KeptCertificate, key_path: str) -> Finding:
    rule = "self-signed-server-certificate" if kept.is_self_signed else "server-identity-in-image"
    return Finding(
        rule_id=f"crypto/{rule}",
        kind=Kind.CRYPTO,
        severity=Severity.MEDIUM if kept.is_self_signed else Severity.HIGH,
        title="A certificate and its private key are both in the image",
        why="Every container, and everybody who may pull the image, can pass for this server.",
        remedy="Make key and certificate at the first start, or mount them; revoke this one.",
        path=path,
        evidence={"subject": kept.subject, "sha256": kept.sha256, "key_path": key_path},
        identity=kept.sha256,
    )


def judge_at(view: ImageView, now: datetime) -> Iterator[Output]:
    """Yield findings for what the image holds at ``now`` (aware): expired, and with its private key."""
    keys = {k.data.decode("ascii", "replace"): k.path for k in view.kept(PRIVATE_KEY)}
    for file in view.kept(_KEPT):
        for kept in decode_json(file.data, list[KeptCertificate]):
            key_path = keys.get(kept.spki_sha256) if kept.spki_sha256 else None
            if key_path:
                yield _identity_finding(file.path, kept, key_path)
            is_root = kept.is_ca and kept.is_self_signed
            if is_root and not key_path:
                continue  # somebody else's: its age is not this image's business
            if finding := _age_finding(file.path, kept, now):
                yield finding


def inspect(view: ImageView) -> Iterator[Output]:
    """Yield findings for what the image holds now."""
    return judge_at(view, datetime.now(UTC))


ANALYZERS: Final = (
    FileAnalyzer(
        name=_NAME,
        version=1,
        interest=Interest(globs=("**/*.pem", "**/*.crt", "**/*.cer", "**/*.der")),
        parse=parse,
        max_file_bytes=_FILE_BYTES,
        summary="weak X.509 certificates",
    ),
    ImageAnalyzer(
        name="crypto/certificates",
        version=1,
        inspect=inspect,
        summary="expired certificates, and those whose private key is in the image",
    ),
)
