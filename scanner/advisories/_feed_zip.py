"""A zip of very many small texts, read in place: objects for half a million entries would fill the memory.

Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from isal import isal_zlib

from scanner.errors import MalformedFileError
from scanner.ports.feed import FeedFile, RefusedRecord

RECORD_BYTES: Final = 32 * 1024 * 1024
"""One advisory, uncompressed."""
ENTRIES_COUNT: Final = 5_000_000
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_FULL16: Final = 0xFFFF
_FULL32: Final = 0xFFFF_FFFF
_ZIP64: Final = 1
_ENCRYPTED: Final = 1
_STORED: Final = 0
_DEFLATED: Final = 8


class Entry(NamedTuple):
    """One JSON text of an archive, or one line."""

    name: str
    content: bytes


class _Central(NamedTuple):
    """An entry of the directory."""

    name: str
    flags: int
    method: int
    crc: int
    size: int
    compressed: int
    offset: int


def zip_entries(file: FeedFile, suffix: str) -> Iterator[Entry | RefusedRecord]:
    """Yield the entries whose name ends with ``suffix``, each checked against its CRC.

    Raises:
        MalformedFileError: cut off, forged or broken; a single entry that is too large is refused by itself.
    """
    try:
        with mmap.mmap(file.stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for central in _directory(data, file.name):
                if central.name.endswith(suffix):
                    yield _entry(data, central, file.name)
    except (struct.error, ValueError, OSError) as error:
        raise MalformedFileError(file.name, "the zip is broken or cut off") from error


def _directory(data: mmap.mmap, name: str) -> Iterator[_Central]:
    count, size, at = _place(data, name)
    end = at + size
    if end > len(data) or count > ENTRIES_COUNT or count * _CENTRAL.size > size:
        raise MalformedFileError(name, "the zip's directory is not where it says to be")
    for _ in range(count):
        fields = _CENTRAL.unpack_from(data, at)
        if fields[0] != b"PK\x01\x02":
            raise MalformedFileError(name, "the zip's directory is broken")
        name_at = at + _CENTRAL.size
        extra_at = name_at + fields[10]
        at = extra_at + fields[11] + fields[12]
        if at > end:
            raise MalformedFileError(name, "the zip's directory is broken")
        sizes = [fields[9], fields[8], fields[16]]
        if _FULL32 in sizes:
            sizes = _wide(data[extra_at : extra_at + fields[11]], sizes)
        entry_name = data[name_at:extra_at].decode("utf-8", "replace")
        yield _Central(entry_name, fields[3], fields[4], fields[7], *sizes)


def _place(data: mmap.mmap, name: str) -> tuple[int, int, int]:
    """Return number of entries, length and offset of the directory."""
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - _END.size - _FULL16))
    if end < 0:
        raise MalformedFileError(name, "the zip is cut off")
    fields = _END.unpack_from(data, end)
    count, size, offset = fields[4:7]
    if count == _FULL16 or _FULL32 in (size, offset):
        locator = _LOCATOR.unpack_from(data, end - _LOCATOR.size)
        wide = _END64.unpack_from(data, locator[2])
        if locator[0] != b"PK\x06\x07" or wide[0] != b"PK\x06\x06":
            raise MalformedFileError(name, "the zip's directory is not where it says to be")
        count, size, offset = wide[7:10]
    return count, size, offset


def _wide(extra: bytes, sizes: list[int]) -> list[int]:
    """Return the sizes with those that did not fit taken from the zip64 field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            return [next(values, one) if one == _FULL32 else one for one in sizes]
        at += 4 + length
    return sizes


def _entry(data: mmap.mmap, central: _Central, name: str) -> Entry | RefusedRecord:
    if central.size > RECORD_BYTES or central.compressed > RECORD_BYTES:
        return RefusedRecord(central.name[:300], f"larger than {RECORD_BYTES} bytes")
    local = _LOCAL.unpack_from(data, central.offset)
    start = central.offset + _LOCAL.size + local[9] + local[10]
    if local[0] != b"PK\x03\x04" or start + central.compressed > len(data):
        raise MalformedFileError(name, "an entry is not where the zip's directory says")
    if central.flags & _ENCRYPTED or central.method not in (_STORED, _DEFLATED):
        raise MalformedFileError(name, "an entry is encrypted or compressed in an unknown way")
    packed = data[start : start + central.compressed]
    content = packed if central.method == _STORED else _inflated(packed, central.size, name)
    if len(content) != central.size or zlib.crc32(content) != central.crc:
        raise MalformedFileError(name, f"{central.name[:300]}: not what its checksum says")
    return Entry(central.name[:300], content)


def _inflated(packed: bytes, size: int, name: str) -> bytes:
    """Return at most one byte more than expected."""
    try:
        inflated: bytes = isal_zlib.decompressobj(-15).decompress(packed, size + 1)
    except (isal_zlib.error, zlib.error) as error:  # type: ignore[misc] # isal's stub calls it a value
        raise MalformedFileError(name, "an entry's compressed data is broken") from error
    return inflated
