"""A compressed archive, unpacked into a file without a name, so that its members can be read at random.

Source: https://www.rfc-editor.org/rfc/rfc1952 (gzip), https://www.rfc-editor.org/rfc/rfc8878 (zstd)
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from scanner.errors import LimitExceededError, MalformedLayerError
from scanner.ports import Limits
from scanner.sources._files import CHUNK_BYTES, local_error

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_ZSTD_INPUT_BYTES = 2048
"""A zstd block of 4 bytes can stand for 128 KiB, so this much input gives 64 MiB at most."""


def compression_of(head: bytes) -> str:
    """Return ``gzip``, ``zstd`` or an empty string, by the first four bytes."""
    if head[:2] == _GZIP_MAGIC:
        return "gzip"
    is_skippable = head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50  # noqa: PLR2004
    return "zstd" if head[:4] == _ZSTD_MAGIC or is_skippable else ""


def uncompressed_chunks(source: BinaryIO, limits: Limits) -> Iterator[bytes]:
    """Yield what ``source`` holds uncompressed, over all gzip members or zstd frames.

    Raises:
        MalformedLayerError: cut off, corrupt, or not compressed at all.
    """
    head = source.read(4)
    source.seek(0)
    compression = compression_of(head)
    if compression == "gzip":
        yield from _gzip_chunks(source)
    elif compression == "zstd":
        yield from _zstd_chunks(source, limits.zstd_window_bytes)
    else:
        raise MalformedLayerError("archive: neither gzip nor zstd")


def _gzip_chunks(source: BinaryIO) -> Iterator[bytes]:
    from isal import igzip, igzip_lib  # noqa: PLC0415 - most archives are not compressed

    broken = (EOFError, zlib.error, igzip.BadGzipFile, igzip_lib.error)

    try:
        with igzip.IGzipFile(fileobj=source) as reader:  # type: ignore[no-untyped-call]
            while data := reader.read(CHUNK_BYTES):
                yield data
    except broken as error:  # type: ignore[misc] # the stub of igzip_lib.error is a variable
        raise MalformedLayerError(f"archive: gzip: {error}"[:200]) from error


def _zstd_chunks(source: BinaryIO, window_bytes: int) -> Iterator[bytes]:
    """Yield frame after frame. Not ``stream_reader``: it takes a cut-off frame for a whole one."""
    import zstandard  # noqa: PLC0415 - most archives are not compressed

    decompressor = zstandard.ZstdDecompressor(max_window_size=window_bytes)
    frame = decompressor.decompressobj()
    is_started = False
    try:
        while data := source.read(_ZSTD_INPUT_BYTES):
            while data:
                is_started = True
                yield frame.decompress(data)
                if not frame.eof:
                    break
                data = frame.unused_data
                frame, is_started = decompressor.decompressobj(), False
    except zstandard.ZstdError as error:
        raise MalformedLayerError(f"archive: zstd: {error}"[:200]) from error
    if is_started:
        raise MalformedLayerError("archive: zstd: cut off within a frame")


def spool(source: BinaryIO, spool_dir: Path, limits: Limits, where: str) -> IO[bytes]:
    """Return a nameless temporary file with what ``source`` holds uncompressed.

    The kernel drops it with the process, however that ends.

    Raises:
        LimitExceededError: ``layer_bytes`` or ``expansion_ratio``.
        MalformedLayerError: cut off or corrupt.
        UpstreamError: the disk is full or does not allow it.
    """
    compressed_bytes = os.fstat(source.fileno()).st_size
    seen = 0
    try:
        spool_dir.mkdir(parents=True, exist_ok=True)
        target = tempfile.TemporaryFile(dir=spool_dir)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise local_error(str(spool_dir), "unpack", error) from error
    try:
        for data in uncompressed_chunks(source, limits):
            seen += len(data)
            _check_expansion(compressed_bytes, seen, limits)
            target.write(data)
        target.flush()
    except OSError as error:
        target.close()
        raise local_error(where, "unpack", error) from error
    except BaseException:
        target.close()
        raise
    return cast("IO[bytes]", target)


def _check_expansion(compressed_bytes: int, seen: int, limits: Limits) -> None:
    if seen > limits.layer_bytes:
        raise LimitExceededError("layer_bytes", limits.layer_bytes, seen)
    if seen > limits.expansion_floor_bytes and seen > compressed_bytes * limits.expansion_ratio:
        ratio = seen / max(1, compressed_bytes)
        raise LimitExceededError("expansion_ratio", limits.expansion_ratio, ratio)
