"""What is weak about a key: size, algorithm, curve, exponent, primes too close, a known bad generator.

``cryptography`` costs 50 ms at import, so it is imported where a key has been found, not before.
Sources: https://nvlpubs.nist.gov/nistpubs/SpecialPublications/NIST.SP.800-131Ar2.pdf (sizes),
https://nvlpubs.nist.gov/nistpubs/FIPS/NIST.FIPS.186-5.pdf (DSA withdrawn, distance of primes),
https://crocs.fi.muni.cz/public/papers/rsa_ccs17 (ROCA)
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from scanner.model import Severity

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

_RSA_BITS: Final = 2_048
_RSA_BROKEN_BITS: Final = 1_024
_EC_BITS: Final = 224
_SMALL_EXPONENT: Final = 65_537
_ROCA_PRIMES: Final = (
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
)  # fmt: skip


_CURVE_OID: Final = re.compile(r"Curve ([\d.]+)")

PRIVATE_KEY: Final = "private-key"
"""Key of kept SHA-256s (hex) of the SubjectPublicKeyInfo of private keys that lie bare in an image."""

_SAMPLE: Final = re.compile(
    r"(?:^|/)(?:tests?|testing|test[-_]?data|certdata|examples?|samples?|fixtures?|docs?|templates?)(?:/|\Z)",
    re.IGNORECASE,
)


def is_sample(path: str) -> bool:
    """Whether a file lies among tests, examples or documentation: in force nowhere, so worth less alarm."""
    return bool(_SAMPLE.search(path.rpartition("/")[0]))


class Weakness(NamedTuple):
    """One reason not to trust a key."""

    code: str
    text: str
    severity: Severity


class KeyFacts(NamedTuple):
    """A public key's type (``rsa``, ``dsa``, ``ec``, ``ed25519`` …), size, identity and weaknesses."""

    type: str
    bits: int
    curve: str
    spki_sha256: str
    """SHA-256 (hex) of the DER SubjectPublicKeyInfo: the same for a key and its certificate."""
    weaknesses: tuple[Weakness, ...]

    @property
    def label(self) -> str:
        """``rsa 1024 bits``, ``ec secp192r1``, ``ed25519``."""
        size = self.curve or (f"{self.bits} bits" if self.bits else "")
        return f"{self.type} {size}".strip()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's warnings about old keys and certificates from the operator's terminal."""
    from cryptography.utils import CryptographyDeprecationWarning  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def unusual_curve(error: Exception) -> KeyFacts | None:
    """Return facts of a key refused for its curve; None for another reason."""
    found = _CURVE_OID.search(str(error))
    if not found:
        return None
    text = f"unusual elliptic curve {found[1]}"
    weak = Weakness("curve", text, Severity.MEDIUM)
    return KeyFacts("ec", 0, found[1], "", (weak,))


def _powers_of_65537(prime: int) -> frozenset[int]:
    return frozenset(pow(65_537, n, prime) for n in range(prime))


def is_roca(modulus: int) -> bool:
    """Whether an RSA modulus carries the mark of the Infineon generator (CVE-2017-15361)."""
    return all(modulus % p in _powers_of_65537(p) for p in _ROCA_PRIMES)


def _rsa_weaknesses(modulus: int, exponent: int) -> list[Weakness]:
    found: list[Weakness] = []
    bits = modulus.bit_length()
    if bits < _RSA_BITS:
        severity = Severity.HIGH if bits <= _RSA_BROKEN_BITS else Severity.MEDIUM
        found.append(Weakness("size", f"RSA with {bits} bits, fewer than {_RSA_BITS}", severity))
    if exponent == 1 or exponent % 2 == 0:
        found.append(Weakness("exponent", "RSA public exponent 1 or even", Severity.CRITICAL))
    elif exponent < _SMALL_EXPONENT:
        text = f"RSA public exponent {exponent}, smaller than 65537"
        found.append(Weakness("exponent", text, Severity.LOW))
    if bits >= _RSA_BROKEN_BITS // 2 and is_roca(modulus):
        text = "RSA key of the broken Infineon generator (ROCA, CVE-2017-15361)"
        found.append(Weakness("roca", text, Severity.CRITICAL))
    return found


def _dsa_weakness(bits: int) -> Weakness:
    severity = Severity.HIGH if bits <= _RSA_BROKEN_BITS else Severity.MEDIUM
    return Weakness("dsa", f"DSA with {bits} bits; DSA is withdrawn", severity)


def facts_of_public(key: PublicKeyTypes) -> KeyFacts:
    """Return what there is to say of a public key."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa  # noqa: PLC0415

    spki = hashlib.sha256(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).hexdigest()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return KeyFacts("rsa", key.key_size, "", spki, tuple(_rsa_weaknesses(numbers.n, numbers.e)))
    if isinstance(key, dsa.DSAPublicKey):
        return KeyFacts("dsa", key.key_size, "", spki, (_dsa_weakness(key.key_size),))
    if isinstance(key, ec.EllipticCurvePublicKey):
        weak: tuple[Weakness, ...] = ()
        if key.curve.key_size < _EC_BITS:
            text = f"elliptic curve {key.curve.name} with {key.curve.key_size} bits"
            weak = (Weakness("curve", text, Severity.HIGH),)
        return KeyFacts("ec", key.curve.key_size, key.curve.name, spki, weak)
    name = type(key).__name__.strip("_").removesuffix("PublicKey").lower()
    return KeyFacts(name, 0, "", spki, ())


def facts_of_private(key: PrivateKeyTypes) -> KeyFacts:
    """Return what there is to say of a private key; of its public half and of its primes."""
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    facts = facts_of_public(key.public_key())
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        if abs(numbers.p - numbers.q).bit_length() <= facts.bits // 2 - 100:
            near = Weakness(
                "close-primes", "RSA primes so close that they can be found", Severity.CRITICAL
            )
            return facts._replace(weaknesses=(*facts.weaknesses, near))
    return facts
