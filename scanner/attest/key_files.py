"""Key files: read with their mode checked, made for nobody else to read.

Source: https://man7.org/linux/man-pages/man2/open.2.html
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from scanner.attest.private_keys import (
    LocalSigner,
    Passphrase,
    encode_private_key,
    new_private_key,
    parse_private_key,
)
from scanner.attest.public_keys import VerificationKey, parse_public_keys
from scanner.errors import KeyNotFoundError, SigningKeyError, UnsafeKeyError

_FILE_BYTES: Final = 256 * 1024
_ROOT: Final = 0


def load_signer(path: Path, passphrase: Passphrase) -> LocalSigner:
    """Return the private key in a file.

    Raises:
        KeyNotFoundError: no such file.
        UnsafeKeyError: others may read it.
        PassphraseError: it is encrypted, and the passphrase is missing or wrong.
        SigningKeyError: it cannot be read, or is no key that can be used.
    """
    return parse_private_key(_read(path, is_private=True), str(path), passphrase)


def load_public_keys(paths: Iterable[Path]) -> tuple[VerificationKey, ...]:
    """Return the public keys in files, in order, each once; raises like :func:`load_signer`."""
    found: dict[str, VerificationKey] = {}
    for path in paths:
        for key in parse_public_keys(_read(path, is_private=False), str(path)):
            found.setdefault(key.id, key)
    return tuple(found.values())


def load_any(path: Path, passphrase: Passphrase) -> tuple[VerificationKey, ...]:
    """Return the public keys of a file of public keys, or of a private one; raises like :func:`load_signer`."""
    content = _read(path, is_private=False)
    if b"PRIVATE KEY-----" in content:
        return (load_signer(path, passphrase).key,)
    return parse_public_keys(content, str(path))


def load_or_make_signer(path: Path, passphrase: Passphrase) -> tuple[LocalSigner, bool]:
    """Return the private key in a file, made if there is none yet, and whether it was made.

    Processes that do so at once get the same key. Raises like :func:`load_signer`.
    """
    try:
        return load_signer(path, passphrase), False
    except KeyNotFoundError:
        pass
    try:
        generate_key_file(path, "ecdsa", None)
    except FileExistsError:
        return load_signer(path, passphrase), False
    return load_signer(path, passphrase), True


def generate_key_file(path: Path, algorithm: str, passphrase: bytes | None) -> None:
    """Write a new private key; readable by its owner only from the first moment, and whole or not at all.

    Raises:
        FileExistsError: there is a file already; it is left as it is.
        SigningKeyError: it cannot be written.
    """
    content = encode_private_key(new_private_key(algorithm), passphrase)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise SigningKeyError(str(path), error.strerror or "cannot be written") from error


def _read(path: Path, *, is_private: bool) -> bytes:
    try:
        with path.open("rb") as file:
            if is_private:
                _check_mode(os.fstat(file.fileno()), str(path))
            content = file.read(_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise KeyNotFoundError(
            str(path), "there is no such key", hint="scanner key generate makes one"
        ) from error
    except OSError as error:
        raise SigningKeyError(str(path), error.strerror or "cannot be read") from error
    if len(content) > _FILE_BYTES:
        raise SigningKeyError(str(path), "too long for a key")
    return content


def _check_mode(about: os.stat_result, where: str) -> None:
    if not stat.S_ISREG(about.st_mode):  # a pipe from a secret store
        return
    excess = stat.S_IMODE(about.st_mode) & 0o077
    # Root's, for our group to read: how Kubernetes gives a Secret to a pod with fsGroup.
    if about.st_uid == _ROOT != os.geteuid():
        excess &= ~stat.S_IRGRP
    if excess:
        raise UnsafeKeyError(
            where,
            f"its mode is {stat.S_IMODE(about.st_mode):04o}: others than its owner may use it",
            hint=f"chmod 600 {where}; if others were there, make a new key and revoke this one",
        )
