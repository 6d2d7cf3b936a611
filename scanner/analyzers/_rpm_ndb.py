"""rpm's own database format (``Packages.db``, SUSE): package headers by slot.

Source: https://github.com/rpm-software-management/rpm/blob/master/lib/backend/ndb/rpmpkg.c
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from scanner.errors import MalformedFileError

_HEADER: Final = struct.Struct("<4sIII")  # magic, version, generation, slot pages
_HEADER_BYTES: Final = 32
_SLOT: Final = struct.Struct("<4sIII")  # magic, package index, block offset, block count
_BLOB: Final = struct.Struct("<4sIII")  # magic, package index, generation, length
_TAIL: Final = struct.Struct("<II4s")  # Adler-32, length, magic
_BLOCK_BYTES: Final = 16
_PAGE_BYTES: Final = 4096


def read_ndb(data: bytes, path: str) -> Iterator[bytes]:
    """Yield each package header, in slot order; together never more bytes than ``data`` has.

    Raises:
        MalformedFileError: no such database, cut off, or slots that contradict their blobs.
    """
    if len(data) < _HEADER_BYTES:
        raise MalformedFileError(path, "too short for an ndb database")
    magic, version, _, pages_count = _HEADER.unpack_from(data)
    if magic != b"RpmP" or version != 0:
        raise MalformedFileError(path, "not an ndb database of version 0")
    slots_end = pages_count * _PAGE_BYTES
    if not _HEADER_BYTES <= slots_end <= len(data):
        raise MalformedFileError(path, f"{pages_count} slot pages do not fit in the file")
    left_bytes = len(data)
    for slot in _SLOT.iter_unpack(data[_HEADER_BYTES:slots_end]):
        slot_magic, index, block, blocks_count = slot
        if slot_magic != b"Slot":
            raise MalformedFileError(path, "slot without magic")
        if block == 0:  # a free slot
            continue
        left_bytes -= blocks_count * _BLOCK_BYTES
        if left_bytes < 0 or block * _BLOCK_BYTES < slots_end:
            raise MalformedFileError(path, "slots overlap")
        yield _blob(data, index, block * _BLOCK_BYTES, blocks_count * _BLOCK_BYTES, path)


def _blob(data: bytes, index: int, start: int, size: int, path: str) -> bytes:
    end = start + size
    if end > len(data) or size < _BLOB.size + _TAIL.size:
        raise MalformedFileError(path, f"package {index} lies outside the file")
    magic, own_index, _, length = _BLOB.unpack_from(data, start)
    if magic != b"BlbS" or own_index != index or length > size - _BLOB.size - _TAIL.size:
        raise MalformedFileError(path, f"package {index} contradicts its slot")
    _, tail_length, tail_magic = _TAIL.unpack_from(data, end - _TAIL.size)
    if tail_magic != b"BlbE" or tail_length != length:
        raise MalformedFileError(path, f"package {index} does not end where it should")
    return data[start + _BLOB.size : start + _BLOB.size + length]
