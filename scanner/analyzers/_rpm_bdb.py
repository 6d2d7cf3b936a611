"""The Berkeley DB hash that rpm used up to RHEL 8 (``Packages``), read page by page.

Source: https://github.com/rpm-software-management/rpm/blob/rpm-4.18.x/lib/backend/bdb_ro.c
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scanner.errors import MalformedFileError

_MAGIC: Final = 0x00061561
_META_BYTES: Final = 72
_MAGIC_AT: Final = 12
_PAGE_SIZES: Final = frozenset(1 << bits for bits in range(9, 17))
_PAGE_HEADER_BYTES: Final = 26
_HASH_META, _OVERFLOW = 8, 7
_HASH_PAGES: Final = frozenset({2, 13})  # unsorted (old), sorted
_ON_PAGE, _OFF_PAGE = 1, 3
_OFF_PAGE_BYTES: Final = 12
_COUNTER_KEY: Final = bytes(4)
"""Package number 0 holds the highest number given so far, not a package."""


@dataclass(frozen=True, slots=True)
class _Hash:
    data: bytes
    page_bytes: int
    order: str
    """``<`` or ``>``, for struct."""
    path: str

    def broken(self, reason: str) -> MalformedFileError:
        return MalformedFileError(self.path, f"Berkeley DB: {reason}")

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + layout, self.data, offset)


def read_bdb(data: bytes, path: str) -> Iterator[bytes]:
    """Yield each package header, in page order; together never more bytes than ``data`` has.

    Raises:
        MalformedFileError: no such database, encrypted, cut off, or pages that cannot be.
    """
    database = _open(data, path)
    left_bytes = len(data)
    for start in range(database.page_bytes, len(data), database.page_bytes):
        if data[start + 25] not in _HASH_PAGES:
            continue
        for value in _values(database, start):
            left_bytes -= len(value)
            if left_bytes < 0:
                raise database.broken("values share pages")
            yield value


def _open(data: bytes, path: str) -> _Hash:
    if len(data) < _META_BYTES:
        raise MalformedFileError(path, "Berkeley DB: too short")
    for order in "<>":
        magic, _, page_bytes = struct.unpack_from(f"{order}III", data, _MAGIC_AT)
        if magic != _MAGIC:
            continue
        database = _Hash(data, page_bytes, order, path)
        if page_bytes not in _PAGE_SIZES or len(data) % page_bytes or data[25] != _HASH_META:
            raise database.broken(f"not whole hash pages of {page_bytes} bytes")
        (last_page,) = database.unpack("I", 32)
        if data[24] or (last_page + 1) * page_bytes > len(data):
            raise database.broken("encrypted" if data[24] else "cut off")
        return database
    raise MalformedFileError(path, "Berkeley DB: not a hash database")


def _values(database: _Hash, start: int) -> Iterator[bytes]:
    """Yield the values of one hash page: items alternate key, value, and fill it from its end."""
    (count,) = database.unpack("H", start + 20)
    if _PAGE_HEADER_BYTES + 2 * count > database.page_bytes:
        raise database.broken("more items than a page can hold")
    offsets = (database.page_bytes, *database.unpack(f"{count}H", start + _PAGE_HEADER_BYTES))
    for i in range(1, count, 2):
        before, key, value = offsets[i - 1 : i + 2]
        if not _PAGE_HEADER_BYTES + 2 * count <= value < key < before:
            raise database.broken("items overlap")
        if database.data[start + key + 1 : start + before] != _COUNTER_KEY:
            yield _value(database, start + value, start + key)


def _value(database: _Hash, start: int, end: int) -> bytes:
    kind = database.data[start]
    if kind == _ON_PAGE:
        return database.data[start + 1 : end]
    if kind != _OFF_PAGE or end - start != _OFF_PAGE_BYTES:
        raise database.broken(f"item of type {kind}")
    page, length = database.unpack("II", start + 4)
    return b"".join(_overflow(database, page, length))


def _overflow(database: _Hash, page: int, left_bytes: int) -> Iterator[bytes]:
    """Yield the parts of a value from its chain of pages; every page must bring it nearer its end."""
    if left_bytes > len(database.data):
        raise database.broken("a value longer than the file")
    while left_bytes:
        start = page * database.page_bytes
        if not page or start >= len(database.data) or database.data[start + 25] != _OVERFLOW:
            raise database.broken(f"page {page} is no overflow page")
        number, _, following = database.unpack("III", start + 8)
        (size,) = database.unpack("H", start + 22)
        fits = 0 < size <= min(left_bytes, database.page_bytes - _PAGE_HEADER_BYTES)
        if number != page or not fits:
            raise database.broken(f"overflow page {page} does not fit its value")
        body = start + _PAGE_HEADER_BYTES
        yield database.data[body : body + size]
        left_bytes -= size
        page = following
