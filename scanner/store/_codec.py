"""How a report is kept: MessagePack of the struct in a zstd frame with a checksum."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import zstandard

from scanner.decoding import decode_msgpack

_Report = TypeVar("_Report", bound=msgspec.Struct)


def pack(report: msgspec.Struct) -> bytes:
    """Return ``report`` as bytes."""
    packed = msgspec.msgpack.encode(report)
    return zstandard.ZstdCompressor(write_checksum=True).compress(packed)


def unpack(data: bytes, kind: type[_Report]) -> _Report | None:
    """Return the report, or None for bytes that are none (damaged, or of another version)."""
    try:
        packed = zstandard.ZstdDecompressor().decompress(data)
        return decode_msgpack(packed, kind)
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError, MemoryError):
        return None
