"""Keys and certificates made at run time, so that no live-looking one is committed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# A 512-bit modulus is below what the library makes, so weak keys are put together from fixed primes.
_P512 = 2**255 - 19
_Q512 = 2**256 - 189


@cache
def rsa_key(bits: int = 2048, exponent: int = 65537):
    if bits >= 1024:
        return rsa.generate_private_key(exponent, bits)
    p, q = _P512, _Q512
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(exponent, p * q)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


@cache
def dsa_key(bits: int = 1024):
    return dsa.generate_private_key(bits)


@cache
def ec_key(curve: str = "secp256r1"):
    curves = {"secp192r1": ec.SECP192R1, "secp256r1": ec.SECP256R1}
    return ec.generate_private_key(curves[curve]())


@cache
def ed25519_key():
    return ed25519.Ed25519PrivateKey.generate()


def private_bytes(key, encoding: str = "PEM", form: str = "PKCS8", password: bytes | None = None):
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        getattr(serialization.Encoding, encoding), getattr(serialization.PrivateFormat, form), how
    )


def spki_sha256(key) -> str:
    return hashes_hex(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def hashes_hex(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def certificate(
    key,
    *,
    name: str = "server.test",
    issuer: str | None = None,
    signer=None,
    ca: bool | None = None,
    algorithm=None,
    days: int = 365,
):
    """Return a certificate that begins 400 days before ``NOW`` and ends ``days`` after it."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer or name))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
    )
    if ca is not None:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=ca, path_length=None), critical=True
        )
    return builder.sign(signer or key, algorithm or hashes.SHA256())


def _name(text: str):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def pem(made) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


def der(made) -> bytes:
    return made.public_bytes(serialization.Encoding.DER)
