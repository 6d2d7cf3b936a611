"""Public keys, their ids, and what they verify. Pure.

ECDSA in ASN.1 DER over the hash that belongs to the curve, Ed25519 over the message itself, RSA with PKCS #1 v1.5
or PSS over SHA-256: what cosign takes.

Source: https://github.com/sigstore/sigstore/tree/main/pkg/signature
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from scanner.errors import SigningKeyError

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_RSA_BITS: Final = 2048
_CURVES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
_PEM: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,60})-----[^-]{1,65536}-----END \1-----", re.DOTALL
)
_KEY_ID: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and its id: the SHA-256 of its DER form (SubjectPublicKeyInfo), in hex."""

    key: PublicKey
    id: str

    @property
    def pem(self) -> str:
        """The key as a PEM block, ``-----BEGIN PUBLIC KEY-----``."""
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    @property
    def algorithm(self) -> str:
        """What people call it: ``ECDSA secp256r1``, ``Ed25519``, ``RSA 3072``."""
        match self.key:
            case ec.EllipticCurvePublicKey():
                return f"ECDSA {self.key.curve.name}"
            case rsa.RSAPublicKey():
                return f"RSA {self.key.key_size}"
            case _:
                return "Ed25519"


def verification_key(key: object, where: str) -> VerificationKey:
    """Return a key of ``cryptography`` with its id.

    Raises:
        SigningKeyError: of a kind, a curve or a length that proves nothing.
    """
    match key:
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in _CURVES:
                raise SigningKeyError(where, f"the curve {key.curve.name} is not supported")
        case rsa.RSAPublicKey():
            if key.key_size < _RSA_BITS:
                raise SigningKeyError(
                    where, f"an RSA key of {key.key_size} bits: at least {_RSA_BITS} are needed"
                )
        case ed25519.Ed25519PublicKey():
            pass
        case _:
            raise SigningKeyError(where, "expected an ECDSA, Ed25519 or RSA key")
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return VerificationKey(key, hashlib.sha256(der).hexdigest())


def parse_public_keys(content: bytes, where: str) -> tuple[VerificationKey, ...]:
    """Return every key of a PEM file, in order: old and new ones while keys are being changed.

    Raises:
        SigningKeyError: no key in it, or one that cannot be used.
    """
    blocks = list(_PEM.finditer(content))
    if any(b"PRIVATE" in block[1] for block in blocks):
        raise SigningKeyError(
            where, "a private key where a public one is expected",
            hint="scanner key show FILE prints the public one",
        )  # fmt: skip
    found = []
    for block in blocks:
        try:
            key = serialization.load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm, TypeError) as error:
            raise SigningKeyError(where, "not a public key that can be read") from error
        found.append(verification_key(key, where))
    if not found:
        raise SigningKeyError(where, "expected -----BEGIN PUBLIC KEY-----")
    return tuple(found)


def check_key_ids(ids: Iterable[str], where: str) -> frozenset[str]:
    """Return key ids.

    Raises:
        SigningKeyError: not 64 hex digits: one that is misspelt would revoke nothing.
    """
    found = frozenset(ids)
    for one in found:
        if not _KEY_ID.match(one):
            raise SigningKeyError(where, f"{one[:80]!r} is not a key id (64 hex digits)")
    return found


def hash_for(curve: ec.EllipticCurve) -> hashes.HashAlgorithm:
    """Return the hash that belongs to a curve."""
    return _CURVES[curve.name]()


def is_signed(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Say whether ``signature`` is this key's over ``message``."""
    match key:
        case ec.EllipticCurvePublicKey():
            # cosign hashes with SHA-256 whatever the curve.
            ways = {hash_for(key.curve).name: hash_for(key.curve), "sha256": hashes.SHA256()}
            return any(_is_ecdsa(key, signature, message, way) for way in ways.values())
        case rsa.RSAPublicKey():
            return _is_rsa(key, signature, message)
        case _:
            return _is_ed25519(key, signature, message)


def _is_ecdsa(
    key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, way: hashes.HashAlgorithm
) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(way))
    except InvalidSignature:
        return False
    return True


def _is_rsa(key: rsa.RSAPublicKey, signature: bytes, message: bytes) -> bool:
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)
    for way in (padding.PKCS1v15(), pss):
        try:
            key.verify(signature, message, way, hashes.SHA256())
        except InvalidSignature:
            continue
        return True
    return False


def _is_ed25519(key: ed25519.Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
