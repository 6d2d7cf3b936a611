"""Key stores with private keys: PKCS #12, JKS, JCEKS and BKS; stores of certificates only are left alone.

A store's password is tried only against its checksum and only with the ones that tools give by default;
nothing is decrypted.
Source: https://www.rfc-editor.org/rfc/rfc7292 (PKCS #12, appendix B for the checksum's key),
https://github.com/openjdk/jdk/blob/master/src/java.base/share/classes/sun/security/provider/JavaKeyStore.java,
https://github.com/bcgit/bc-java/blob/main/prov/src/main/java/org/bouncycastle/jcajce/provider/keystore/bc/BcKeyStoreSpi.java
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from scanner.analyzers._keys import is_sample
from scanner.errors import MalformedFileError
from scanner.model import Finding, Kind, Severity
from scanner.ports import FileAnalyzer, Interest, LayerFile, Output

_STORE_BYTES: Final = 16 * 1024 * 1024
_ENTRIES_COUNT: Final = 10_000
_CHAIN_COUNT: Final = 100
_ITERATIONS_COUNT: Final = 20_000
"""More rounds are not tried: three passwords of one store cost at most some 50 ms."""
_DEFAULT_PASSWORDS: Final = ("changeit", "", "password")
_OTHERS_READ: Final = 0o004

_JKS: Final = b"\xfe\xed\xfe\xed"
_JCEKS: Final = b"\xce\xce\xce\xce"
_JKS_SALT: Final = b"Mighty Aphrodite"
_SHA1_BYTES: Final = 20
_PFX: Final = re.compile(rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x80)\x02\x01\x03", re.DOTALL)
_BAG: Final = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01"
_PLAIN_KEY_BAG: Final = _BAG + b"\x01"
_SHROUDED_KEY_BAG: Final = _BAG + b"\x02"
_DIGESTS: Final = {
    b"\x2b\x0e\x03\x02\x1a": ("sha1", 64),
    b"\x60\x86\x48\x01\x65\x03\x04\x02\x01": ("sha256", 64),
    b"\x60\x86\x48\x01\x65\x03\x04\x02\x03": ("sha512", 128),
}
"""Digest by object identifier, with its block in bytes."""


class Store(NamedTuple):
    """What a store holds, as far as it can be told without its password."""

    format: str
    keys_count: int
    bare_keys_count: int
    """Keys that lie in it unencrypted."""
    password: str | None
    """``empty`` or ``default`` where one was found to open it; None: not found, or not tried."""


class _Reader:
    """Big-endian fields of a Java DataOutputStream."""

    def __init__(self, path: str, data: bytes, position: int) -> None:
        self._path = path
        self._data = data
        self._position = position

    def take(self, count: int) -> bytes:
        end = self._position + count
        if count < 0 or end > len(self._data):
            raise MalformedFileError(self._path, "key store is cut off")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def number(self, width: int = 4) -> int:
        return int.from_bytes(self.take(width), "big")

    def text(self) -> bytes:
        return self.take(self.number(2))

    def block(self) -> bytes:
        return self.take(self.number())

    def bounded(self, allowed: int, what: str) -> int:
        count = self.number()
        if count > allowed:
            raise MalformedFileError(self._path, f"{count} {what}, more than {allowed}")
        return count


def _password_name(password: str) -> str:
    return "default" if password else "empty"


def _skip_chain(reader: _Reader, *, typed: bool) -> None:
    for _ in range(reader.bounded(_CHAIN_COUNT, "certificates in a chain")):
        if typed:
            reader.text()
        reader.block()


def read_jks(path: str, data: bytes) -> Store:
    """Read a JKS or JCEKS store. Raises MalformedFileError."""
    reader = _Reader(path, data[:-_SHA1_BYTES], len(_JKS))
    typed = reader.number() == 2  # noqa: PLR2004 - version 2 names the type of each certificate
    keys = 0
    for _ in range(reader.bounded(_ENTRIES_COUNT, "entries")):
        tag = reader.number()
        reader.text()
        reader.take(8)
        if tag == 1:
            keys += 1
            reader.block()
            _skip_chain(reader, typed=typed)
        elif tag == 2:  # noqa: PLR2004 - a trusted certificate
            if typed:
                reader.text()
            reader.block()
        else:
            break  # a sealed Java object of unknown length: what follows cannot be read
    opened = (p for p in _DEFAULT_PASSWORDS if _opens_jks(data, p)) if keys else iter(())
    password = next(opened, None)
    name = "JKS" if data.startswith(_JKS) else "JCEKS"
    return Store(name, keys, 0, None if password is None else _password_name(password))


def _opens_jks(data: bytes, password: str) -> bool:
    state = hashlib.sha1(password.encode("utf-16-be") + _JKS_SALT, usedforsecurity=False)
    state.update(data[:-_SHA1_BYTES])
    return hmac.compare_digest(state.digest(), data[-_SHA1_BYTES:])


def read_bks(path: str, data: bytes) -> Store:
    """Read a Bouncy Castle store (version 1 or 2). Raises MalformedFileError."""
    reader = _Reader(path, data, 4)
    reader.block()
    reader.number()
    keys = bare = 0
    for _ in range(_ENTRIES_COUNT):
        tag = reader.number(1)
        if tag == 0:
            break
        reader.text()
        reader.take(8)
        _skip_chain(reader, typed=True)
        if tag == 2:  # noqa: PLR2004 - a key without encryption
            is_private = reader.number(1) == 0
            bare += is_private
            keys += is_private
            reader.text()
            reader.text()
        elif tag == 1:
            reader.text()
        elif tag in {3, 4}:
            keys += tag == 4  # noqa: PLR2004 - a sealed key; 3 is a secret of another kind
        else:
            raise MalformedFileError(path, f"unknown entry {tag} in a BKS key store")
        reader.block()
    return Store("BKS", keys, bare, None)


class _Value(NamedTuple):
    tag: int
    body: bytes
    rest: bytes


def _der(data: bytes) -> _Value | None:
    """Return the first value of definite length in ``data``."""
    if len(data) < 2:  # noqa: PLR2004 - tag and length
        return None
    size, start = data[1], 2
    if size & 0x80:
        width = size & 0x7F
        if not 1 <= width <= 4:  # noqa: PLR2004 - indefinite, or beyond any file
            return None
        size, start = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
    end = start + size
    return _Value(data[0], data[start:end], data[end:]) if end <= len(data) else None


def _values(data: bytes, limit: int = 8) -> list[_Value]:
    found: list[_Value] = []
    while data and len(found) < limit and (value := _der(data)):
        found.append(value)
        data = value.rest
    return found


class _Checksum(NamedTuple):
    algorithm: str
    block_bytes: int
    expected: bytes
    salt: bytes
    iterations: int
    content: bytes


def _checksum(data: bytes) -> _Checksum | None:
    """Return the MacData of a PFX; None where it has none, or one of another form."""
    outer = _values(data, 1)
    parts = _values(outer[0].body) if outer else []
    if [p.tag for p in parts] != [0x02, 0x30, 0x30]:
        return None
    safe = _values(parts[1].body)
    wrapped = _values(safe[1].body) if len(safe) == 2 else []  # noqa: PLR2004 - type and content
    mac = _values(parts[2].body)
    info = _values(mac[0].body) if mac else []
    algorithm = _values(info[0].body) if info else []
    if not (wrapped and len(info) == 2 and algorithm and len(mac) >= 2):  # noqa: PLR2004
        return None
    known = _DIGESTS.get(algorithm[0].body)
    iterations = int.from_bytes(mac[2].body[:8], "big") if len(mac) > 2 else 1  # noqa: PLR2004
    if known is None or not 1 <= iterations <= _ITERATIONS_COUNT or len(mac[1].body) > 1024:  # noqa: PLR2004
        return None
    return _Checksum(*known, info[1].body, mac[1].body, iterations, wrapped[0].body)


def _fill(data: bytes, block_bytes: int) -> bytes:
    """Repeat ``data`` up to a multiple of the block."""
    size = -(-len(data) // block_bytes) * block_bytes
    return (data * (size // len(data) + 1))[:size] if data else b""


def _opens_pkcs12(mac: _Checksum, password: str) -> bool:
    secret = password.encode("utf-16-be") + b"\0\0"
    block = mac.block_bytes
    key = b"\x03" * block + _fill(mac.salt, block) + _fill(secret, block)
    for _ in range(mac.iterations):
        key = hashlib.new(mac.algorithm, key, usedforsecurity=False).digest()
    return hmac.compare_digest(hmac.digest(key, mac.content, mac.algorithm), mac.expected)


def read_pkcs12(data: bytes) -> Store:
    """Read a PKCS #12 store: key bags outside of encrypted parts, and whether a default password opens it."""
    bare = data.count(_PLAIN_KEY_BAG)
    keys = bare + data.count(_SHROUDED_KEY_BAG)
    mac = _checksum(data) if keys else None
    opened = (p for p in _DEFAULT_PASSWORDS if mac and _opens_pkcs12(mac, p))
    password = next(opened, None)
    return Store("PKCS#12", keys, bare, None if password is None else _password_name(password))


def read_store(path: str, data: bytes) -> Store | None:
    """Return what a store holds; None for content that is no store. Raises MalformedFileError."""
    if data.startswith((_JKS, _JCEKS)):
        return read_jks(path, data)
    if data[:4] in {b"\0\0\0\x01", b"\0\0\0\x02"} and path.endswith((".bks", ".keystore")):
        return read_bks(path, data)
    return read_pkcs12(data) if _PFX.match(data) else None


def _severity(file: LayerFile, store: Store) -> Severity:
    is_open = bool(store.bare_keys_count) or store.password is not None
    if is_sample(file.path):
        return Severity.LOW if is_open else Severity.INFO
    if is_open:
        return Severity.HIGH
    return Severity.MEDIUM if file.mode & _OTHERS_READ else Severity.LOW


def parse(file: LayerFile) -> Iterator[Output]:
    """Yield a finding for a key store with a private key.

    Raises:
        MalformedFileError: a store by its first bytes that is cut off or contradicts itself.
    """
    data = file.data[:]
    store = read_store(file.path, data)
    if store is None or not store.keys_count:
        return
    how = "no password" if store.bare_keys_count else f"{store.password or 'unknown'} password"
    sha256 = hashlib.sha256(data).hexdigest()
    yield Finding(
        rule_id="crypto/private-key-in-image",
        kind=Kind.CRYPTO,
        severity=_severity(file, store),
        title=f"{store.format} key store with a private key ({how})",
        why="Everybody who may pull the image has the key; a password on it can be guessed at offline.",
        remedy="Replace the key, give the new store at run time, and rebuild without it.",
        path=file.path,
        evidence={
            "format": store.format,
            "keys": str(store.keys_count),
            "encrypted": "no" if store.bare_keys_count else "yes",
            "password": store.password or "unknown",
            "mode": f"{file.mode:04o}",
            "sha256": sha256,
        },
        identity=sha256,
    )


ANALYZERS: Final = (
    FileAnalyzer(
        name="crypto/keystores",
        version=1,
        interest=Interest(
            globs=("**/*.p12", "**/*.pfx", "**/*.jks", "**/*.jceks", "**/*.bks", "**/*.keystore"),
            magics=(_JKS, _JCEKS),
        ),
        parse=parse,
        max_file_bytes=_STORE_BYTES,
        summary="PKCS#12, JKS and BKS key stores with private keys",
    ),
)
