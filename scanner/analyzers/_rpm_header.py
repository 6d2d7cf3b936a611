"""The header of an installed rpm package, as rpm's databases store it (without the lead-in magic).

Source: https://rpm-software-management.github.io/rpm/manual/format_header.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scanner.errors import MalformedFileError

_TAGS_COUNT: Final = 0xFFFF
_DATA_BYTES: Final = 0x0FFFFFFF
_COUNTS: Final = struct.Struct(">II")
_ENTRY: Final = struct.Struct(">iIiI")
_INT32: Final = 4
_PATHS_RATIO: Final = 4
"""Paths joined may be this much larger than the header. Real ones are smaller than it."""
_PATHS_BYTES: Final = 64 * 1024
_STRING_TYPES: Final = frozenset({6, 8, 9})  # STRING, STRING_ARRAY, I18NSTRING


class _Tag(IntEnum):
    NAME = 1000
    VERSION = 1001
    RELEASE = 1002
    EPOCH = 1003
    LICENSE = 1014
    ARCH = 1022
    SOURCERPM = 1044
    DIRINDEXES = 1116
    BASENAMES = 1117
    DIRNAMES = 1118
    MODULARITYLABEL = 5096


_WANTED: Final = frozenset(int(tag) for tag in _Tag)


@dataclass(frozen=True, slots=True)
class RpmHeader:
    """What we read of one package; a text that the header lacks is empty."""

    name: str
    version: str
    release: str
    epoch: int | None
    architecture: str
    source_rpm: str
    """``name-version-release.src.rpm``."""
    license: str
    modularity: str
    """``name:stream:version:context``."""
    paths: tuple[str, ...]
    """Owned files and directories, without leading slash."""


@dataclass(frozen=True, slots=True)
class _Store:
    """Index entries by tag and the data they point into; every read is checked."""

    blob: bytes
    start: int
    size: int
    entries: dict[int, tuple[int, int, int]]
    path: str

    def broken(self, reason: str) -> MalformedFileError:
        return MalformedFileError(self.path, f"rpm header: {reason}")

    def strings(self, tag: _Tag) -> list[str]:
        """Return the strings of ``tag``; none where it is absent."""
        entry = self.entries.get(tag)
        if entry is None:
            return []
        kind, offset, count = entry
        if kind not in _STRING_TYPES or not 0 <= offset <= self.size or count > self.size - offset:
            raise self.broken(f"{tag.name} is not strings inside the data")
        end = self.start + self.size
        parts = self.blob[self.start + offset : end].split(b"\0", count)
        if len(parts) <= count:
            raise self.broken(f"{tag.name} does not end")
        return [part.decode("utf-8", "replace") for part in parts[:count]]

    def string(self, tag: _Tag) -> str:
        """Return the first string of ``tag``, or an empty one."""
        if tag not in self.entries:
            return ""
        kind, offset, _ = self.entries[tag]
        begin = self.start + offset
        end = (
            self.blob.find(b"\0", begin, self.start + self.size) if 0 <= offset < self.size else -1
        )
        if kind not in _STRING_TYPES or end < 0:
            raise self.broken(f"{tag.name} is not a string inside the data")
        return self.blob[begin:end].decode("utf-8", "replace")

    def integers(self, tag: _Tag) -> tuple[int, ...]:
        """Return the 32-bit integers of ``tag``; none where it is absent."""
        entry = self.entries.get(tag)
        if entry is None:
            return ()
        kind, offset, count = entry
        if kind != _INT32 or offset < 0 or offset + _INT32 * count > self.size:
            raise self.broken(f"{tag.name} is not integers inside the data")
        return struct.unpack_from(f">{count}I", self.blob, self.start + offset)


def parse_header(blob: bytes, path: str) -> RpmHeader:
    """Return the header in ``blob``; ``path`` is the database, for messages.

    Raises:
        MalformedFileError: lengths, offsets or types that cannot be, or no name and version.
    """
    store = _open(blob, path)
    name, version = store.string(_Tag.NAME), store.string(_Tag.VERSION)
    if not name or not version:
        raise store.broken("no name or no version")
    epoch = store.integers(_Tag.EPOCH)
    return RpmHeader(
        name=name,
        version=version,
        release=store.string(_Tag.RELEASE),
        epoch=epoch[0] if epoch else None,
        architecture=store.string(_Tag.ARCH),
        source_rpm=store.string(_Tag.SOURCERPM),
        license=store.string(_Tag.LICENSE),
        modularity=store.string(_Tag.MODULARITYLABEL),
        paths=_paths(store),
    )


def _open(blob: bytes, path: str) -> _Store:
    if len(blob) < _COUNTS.size:
        raise MalformedFileError(path, f"rpm header: {len(blob)} bytes")
    tags_count, data_bytes = _COUNTS.unpack_from(blob)
    start = _COUNTS.size + _ENTRY.size * tags_count
    if tags_count > _TAGS_COUNT or data_bytes > _DATA_BYTES or start + data_bytes > len(blob):
        reason = f"rpm header: {tags_count} tags and {data_bytes} bytes do not fit in {len(blob)}"
        raise MalformedFileError(path, reason)
    # A tag set after the package was built follows the signed region and replaces what is in there.
    entries = {
        tag: (kind, offset, count)
        for tag, kind, offset, count in _ENTRY.iter_unpack(blob[_COUNTS.size : start])
        if tag in _WANTED
    }
    return _Store(blob, start, data_bytes, entries, path)


def _paths(store: _Store) -> tuple[str, ...]:
    names = store.strings(_Tag.BASENAMES)
    directories = [name.lstrip("/") for name in store.strings(_Tag.DIRNAMES)]
    indexes = store.integers(_Tag.DIRINDEXES)
    if len(indexes) != len(names) or (indexes and max(indexes) >= len(directories)):
        raise store.broken("file names and directories do not match")
    joined_bytes = sum([len(directories[i]) for i in indexes])
    if joined_bytes > max(_PATHS_RATIO * len(store.blob), _PATHS_BYTES):
        raise store.broken(f"directories of its files come to {joined_bytes} bytes")
    return tuple([directories[i] + name for i, name in zip(indexes, names, strict=True)])
