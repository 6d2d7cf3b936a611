"""A bounded reader of ZIP archives, by their central directory, that reads only members asked for.

The standard library's reader makes an object of every entry before anything can be bounded; an archive of
a few megabytes may have a million. Here entries are walked one by one, and every inflated byte is counted
against one budget for an archive and all archives inside it.

Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from scanner.analyzers._elf import Bytes
from scanner.errors import LimitExceededError, MalformedFileError

NAME_BYTES: Final = 4_096
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_END64: Final = b"PK\x06\x06"
_LOCATOR64_BYTES: Final = 20
_COMMENT_BYTES: Final = 65_535
_ENTRY: Final = struct.Struct("<4s4B4HL2L5H2L")
_ENTRY_MARK: Final = b"PK\x01\x02"
_LOCAL: Final = struct.Struct("<4s22x2H")
_LOCAL_MARK: Final = b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8
_ENCRYPTED: Final = 0x1
_UTF8: Final = 0x800
_IN_EXTRA: Final = 0xFFFFFFFF
_RATIO_FLOOR_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class Budget:
    """What one file and all archives inside it may cost; used up as they are read."""

    entries_count: int = 1_000_000
    inflated_bytes: int = 1024**3
    archives_count: int = 10_000
    expansion_ratio: int = 200

    @property
    def is_spent(self) -> bool:
        """Whether nothing more can be read."""
        return min(self.entries_count, self.inflated_bytes, self.archives_count) <= 0

    def take(self, limit: str, amount: int) -> None:
        """Use up ``amount`` of a limit; one that is exceeded is spent altogether.

        Raises:
            LimitExceededError: less than that is left.
        """
        left = getattr(self, limit)
        if amount > left:
            setattr(self, limit, 0)
            raise LimitExceededError(f"archive_{limit}", left, amount, setting=False)
        setattr(self, limit, left - amount)


class Member(NamedTuple):
    """One entry of the central directory. Sizes and CRC are claims until it is read."""

    name: str
    method: int
    is_encrypted: bool
    crc: int
    compressed_bytes: int
    inflated_bytes: int
    offset: int
    """Of the local header, in the file."""


class _Directory(NamedTuple):
    start: int
    end: int
    shift: int
    """Bytes before the archive proper (a launcher script), to be added to every offset."""


def _directory64(data: Bytes, end_at: int, path: str) -> tuple[int, int, int] | None:
    """Return (size, offset, position of the record) of a ZIP64 end record, if there is one."""
    locator_at = end_at - _LOCATOR64_BYTES
    if locator_at < 0 or data[locator_at : locator_at + 4] != b"PK\x06\x07":
        return None
    (record_at,) = struct.unpack_from("<Q", data, locator_at + 8)
    if data[record_at : record_at + 4] != _END64:
        record_at = data.rfind(_END64, max(0, locator_at - _COMMENT_BYTES), locator_at)
    if record_at < 0 or record_at + 56 > len(data):
        raise MalformedFileError(path, "ZIP64 end record is missing")
    size, offset = struct.unpack_from("<2Q", data, record_at + 40)
    return size, offset, record_at


def _find_directory(data: Bytes, path: str) -> _Directory:
    end_at = data.rfind(_END, max(0, len(data) - _END_BYTES - _COMMENT_BYTES))
    if end_at < 0 or end_at + _END_BYTES > len(data):
        raise MalformedFileError(path, "not a ZIP archive, or its end is cut off")
    size, offset = struct.unpack_from("<2L", data, end_at + 12)
    directory_end = end_at
    wide = _directory64(data, end_at, path)
    if wide is not None:
        size, offset, directory_end = wide
    start = directory_end - size
    if start < 0 or start < offset:
        raise MalformedFileError(path, "ZIP central directory lies outside the file")
    return _Directory(start, directory_end, start - offset)


def _wide_fields(extra: bytes, values: list[int]) -> list[int]:
    """Return sizes and offset with those that do not fit 32 bits taken from the ZIP64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            count = min(size, len(extra) - at - 4) // 8
            wide = iter(struct.unpack_from(f"<{count}Q", extra, at + 4))
            return [next(wide, v) if v == _IN_EXTRA else v for v in values]
        at += 4 + size
    return values


def members(data: Bytes, path: str, budget: Budget) -> Iterator[Member]:
    """Yield the entries in the order of the central directory, each counted against the budget.

    Raises:
        MalformedFileError: not a ZIP archive, or its directory is broken.
        LimitExceededError: more entries than the budget has left.
    """
    directory = _find_directory(data, path)
    at = directory.start
    while at + _ENTRY.size <= directory.end:
        fields = _ENTRY.unpack_from(data, at)
        if fields[0] != _ENTRY_MARK:
            raise MalformedFileError(path, "ZIP central directory is broken")
        budget.take("entries_count", 1)
        flags, method, crc = fields[5], fields[6], fields[9]
        name_bytes, extra_bytes, comment_bytes = fields[12:15]
        sizes = [fields[11], fields[10], fields[-1]]
        if name_bytes > NAME_BYTES:
            raise MalformedFileError(path, f"ZIP entry with a name of more than {NAME_BYTES} bytes")
        name_at = at + _ENTRY.size
        name = data[name_at : name_at + name_bytes].decode(
            "utf-8" if flags & _UTF8 else "cp437", "replace"
        )
        if _IN_EXTRA in sizes:
            extra_at = name_at + name_bytes
            sizes = _wide_fields(data[extra_at : extra_at + extra_bytes], sizes)
        inflated, compressed, offset = sizes
        yield Member(
            name,
            method,
            bool(flags & _ENCRYPTED),
            crc,
            compressed,
            inflated,
            offset + directory.shift,
        )
        at = name_at + name_bytes + extra_bytes + comment_bytes


def _start_of(data: Bytes, member: Member, path: str) -> int:
    header = data[member.offset : member.offset + _LOCAL.size]
    if len(header) < _LOCAL.size or header[:4] != _LOCAL_MARK:
        raise MalformedFileError(path, "ZIP entry has no local header")
    _, name_bytes, extra_bytes = _LOCAL.unpack(header)
    start: int = member.offset + _LOCAL.size + name_bytes + extra_bytes
    if start + member.compressed_bytes > len(data):
        raise MalformedFileError(path, "ZIP entry reaches beyond the file")
    return start


def _inflate(data: Bytes, start: int, member: Member, path: str) -> bytes:
    """Inflate at most one byte more than the directory says."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    end = start + member.compressed_bytes
    try:
        with memoryview(data) as whole, whole[start:end] as content:
            plain = inflater.decompress(content, member.inflated_bytes + 1)
    except zlib.error as error:
        raise MalformedFileError(path, f"ZIP entry: {error}") from error
    if not inflater.eof and len(plain) <= member.inflated_bytes:
        raise MalformedFileError(path, "ZIP entry is cut off")
    return plain


def read_member(
    data: Bytes, member: Member, path: str, budget: Budget, *, member_bytes: int
) -> bytes:
    """Return one entry's bytes, checked against its size and CRC. ``path`` names it in errors.

    Raises:
        MalformedFileError: encrypted, an unknown method, cut off, or not what the directory says.
        LimitExceededError: larger than ``member_bytes``, than the ratio allows, or than the budget has left.
    """
    if member.is_encrypted:
        raise MalformedFileError(path, "ZIP entry is encrypted")
    if member.method not in (_STORED, _DEFLATED):
        raise MalformedFileError(path, f"ZIP compression method {member.method} is unknown")
    cost_bytes = max(member.inflated_bytes, member.compressed_bytes)
    if cost_bytes > member_bytes:
        raise LimitExceededError("archive_member_bytes", member_bytes, cost_bytes, setting=False)
    ratio = member.inflated_bytes / max(1, member.compressed_bytes)
    if member.inflated_bytes > _RATIO_FLOOR_BYTES and ratio > budget.expansion_ratio:
        raise LimitExceededError(
            "archive_expansion_ratio", budget.expansion_ratio, ratio, setting=False
        )
    budget.take("inflated_bytes", cost_bytes)
    start = _start_of(data, member, path)
    if member.method == _STORED:
        plain = data[start : start + member.compressed_bytes]
    else:
        plain = _inflate(data, start, member, path)
    if len(plain) != member.inflated_bytes or zlib.crc32(plain) != member.crc:
        raise MalformedFileError(path, "ZIP entry is not what the central directory says")
    return plain
