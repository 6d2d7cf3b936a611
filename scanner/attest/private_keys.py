"""Private keys as PEM: PKCS #8, plain or encrypted, and what cosign writes. Pure.

Source: https://github.com/sigstore/cosign/blob/main/pkg/cosign/keys.go
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from scanner.attest.dsse import decode_base64
from scanner.attest.public_keys import VerificationKey, hash_for, verification_key
from scanner.decoding import decode_json
from scanner.errors import PassphraseError, SigningKeyError, UnverifiedError

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

Passphrase: TypeAlias = Callable[[], bytes]
"""Called for an encrypted key only. Raises PassphraseError where nobody can tell it."""

COSIGN_LABEL: Final = "ENCRYPTED SIGSTORE PRIVATE KEY"
_COSIGN_LABELS: Final = frozenset({COSIGN_LABEL, "ENCRYPTED COSIGN PRIVATE KEY"})
_PLAIN_LABELS: Final = frozenset({"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"})
_PEM: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,60}PRIVATE KEY|PRIVATE KEY)-----\s(.{1,65536}?)-----END \1-----",
    re.DOTALL,
)
_SCRYPT_BYTES: Final = 512 * 1024 * 1024
_SCRYPT_N: Final = 65_536
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 24
_RSA_EXPONENT: Final = 65_537
_RSA_BITS: Final = 3072
ALGORITHMS: Final = ("ecdsa", "ed25519", "rsa")


class Signer(Protocol):
    """Whatever holds a private key."""

    @property
    def key(self) -> VerificationKey:
        """The public key that verifies what it signs."""

    def sign(self, message: bytes) -> bytes:
        """Return a signature; raises SigningKeyError."""


class LocalSigner:
    """A private key in memory. Signatures are the same for the same message, whatever the algorithm."""

    def __init__(self, private: PrivateKey, where: str) -> None:
        self._private = private
        self.key = verification_key(private.public_key(), where)

    def sign(self, message: bytes) -> bytes:
        """Return a signature as cosign makes it."""
        match self._private:
            case ec.EllipticCurvePrivateKey():
                chosen = hash_for(self._private.curve)
                return self._private.sign(message, ec.ECDSA(chosen, deterministic_signing=True))
            case rsa.RSAPrivateKey():
                return self._private.sign(message, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return self._private.sign(message)


def new_private_key(algorithm: str) -> PrivateKey:
    """Return a new key: ``ecdsa`` (P-256), ``ed25519`` or ``rsa`` (3,072 bits)."""
    match algorithm:
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "rsa":
            return rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
        case _:
            return ec.generate_private_key(ec.SECP256R1())


def encode_private_key(key: PrivateKey, passphrase: bytes | None) -> bytes:
    """Return a key as PEM: plain PKCS #8, or with a passphrase as cosign encrypts it."""
    plain = serialization.NoEncryption()
    if passphrase is None:
        pem = serialization.Encoding.PEM
        return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain
    )  # fmt: skip
    return _encrypt(der, passphrase)


def parse_private_key(content: bytes, where: str, passphrase: Passphrase) -> LocalSigner:
    """Return the key of a PEM file, decrypted if need be.

    Raises:
        PassphraseError: the passphrase is missing or wrong.
        SigningKeyError: no private key, or one that cannot be used.
    """
    block = _PEM.search(content)
    if block is None:
        raise SigningKeyError(where, "expected a private key in PEM form")
    label = block[1].decode()
    if label in _COSIGN_LABELS:
        der = _decrypt(_pem_body(block[2], where), where, passphrase)
        return LocalSigner(_loaded(serialization.load_der_private_key, der, None, where), where)
    is_encrypted = label == "ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in block[2]
    if not is_encrypted and label not in _PLAIN_LABELS:
        raise SigningKeyError(where, f"-----BEGIN {label}----- is not a form that we know")
    password = passphrase() if is_encrypted else None
    if password == b"":
        raise PassphraseError(where, "the passphrase is wrong")
    return LocalSigner(
        _loaded(serialization.load_pem_private_key, block[0], password, where), where
    )


def _loaded(
    load: Callable[..., Any], content: bytes, password: bytes | None, where: str
) -> PrivateKey:
    try:
        key = load(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if password is not None:
            raise PassphraseError(where, "the passphrase is wrong") from error
        raise SigningKeyError(where, "not a private key that can be read") from error
    if not isinstance(
        key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    ):
        raise SigningKeyError(where, "expected an ECDSA, Ed25519 or RSA key")
    return key


# What cosign encrypts: scrypt, then NaCl's secretbox


class _Params(msgspec.Struct):
    N: int
    r: int
    p: int


class _Kdf(msgspec.Struct):
    name: str
    params: _Params
    salt: str


class _Cipher(msgspec.Struct):
    name: str
    nonce: str


class _Encrypted(msgspec.Struct):
    kdf: _Kdf
    cipher: _Cipher
    ciphertext: str


def _pem_body(body: bytes, where: str) -> bytes:
    try:
        return decode_base64(b"".join(body.split()).decode("ascii", "replace"), where)
    except UnverifiedError as error:
        raise SigningKeyError(where, "its content is not base64") from error


def _decrypt(content: bytes, where: str, passphrase: Passphrase) -> bytes:
    from nacl.exceptions import CryptoError  # noqa: PLC0415 - only for keys that cosign encrypted
    from nacl.secret import SecretBox  # noqa: PLC0415

    try:
        wire = decode_json(content, _Encrypted)
        salt = decode_base64(wire.kdf.salt, where)
        nonce = decode_base64(wire.cipher.nonce, where)
        box = decode_base64(wire.ciphertext, where)
    except (msgspec.DecodeError, UnverifiedError, RecursionError) as error:
        raise SigningKeyError(where, "not an encrypted key as cosign writes it") from error
    params = wire.kdf.params
    if (wire.kdf.name, wire.cipher.name, len(nonce)) != ("scrypt", "nacl/secretbox", _NONCE_BYTES):
        raise SigningKeyError(where, "encrypted in a way that we do not know")
    if not 0 < 128 * params.N * params.r * params.p <= _SCRYPT_BYTES:
        raise SigningKeyError(where, "its scrypt parameters ask for too much memory")
    derived = _derive(passphrase(), salt, params, where)
    try:
        return SecretBox(derived).decrypt(box, nonce)
    except (CryptoError, ValueError) as error:
        raise PassphraseError(where, "the passphrase is wrong") from error


def _derive(passphrase: bytes, salt: bytes, params: _Params, where: str) -> bytes:
    try:
        return hashlib.scrypt(
            passphrase, salt=salt, n=params.N, r=params.r, p=params.p,
            maxmem=_SCRYPT_BYTES + 1024 * 1024, dklen=_KEY_BYTES,
        )  # fmt: skip
    except ValueError as error:
        raise SigningKeyError(where, "its scrypt parameters are not possible") from error


def _encrypt(der: bytes, passphrase: bytes) -> bytes:
    from nacl.secret import SecretBox  # noqa: PLC0415 - as above

    params, salt, nonce = _Params(_SCRYPT_N, 8, 1), os.urandom(_KEY_BYTES), os.urandom(_NONCE_BYTES)
    box = SecretBox(_derive(passphrase, salt, params, "new key"))
    wire = _Encrypted(
        _Kdf("scrypt", params, b64encode(salt).decode()),
        _Cipher("nacl/secretbox", b64encode(nonce).decode()),
        b64encode(box.encrypt(der, nonce).ciphertext).decode(),
    )
    text = b64encode(msgspec.json.encode(wire)).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join(
        [f"-----BEGIN {COSIGN_LABEL}-----", *lines, f"-----END {COSIGN_LABEL}-----", ""]
    ).encode()
