"""How a report is kept: MessagePack of the struct in a zstd frame with a checksum."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
import zstandard

from scanner.model import ImageReport, LayerReport

_Report = TypeVar("_Report", bound=msgspec.Struct)

# Made here and not when first needed: what msgspec finds out about a type it does without a lock, and two
# threads that begin with the same one crash the process.
_DECODERS: Final[dict[type, msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (ImageReport, LayerReport)
}


def pack(report: msgspec.Struct) -> bytes:
    """Return ``report`` as bytes."""
    packed = msgspec.msgpack.encode(report)
    return zstandard.ZstdCompressor(write_checksum=True).compress(packed)


def unpack(data: bytes, kind: type[_Report]) -> _Report | None:
    """Return the report, or None for bytes that are none (damaged, or of another version)."""
    try:
        packed = zstandard.ZstdDecompressor().decompress(data)
        report: _Report = _DECODERS[kind].decode(packed)
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError, MemoryError):
        return None
    return report
