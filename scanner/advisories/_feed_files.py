"""Read what feeds publish, bounded: archives of many JSON files, JSON lines, one large JSON document.

Source: https://jsonlines.org/
"""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, Final, Self, TypeVar, cast

import msgspec
import zstandard

from scanner.advisories import _zstd_frames
from scanner.advisories._feed_zip import ENTRIES_COUNT, RECORD_BYTES, Entry, zip_entries
from scanner.decoding import decode_json
from scanner.errors import LimitExceededError, MalformedFileError
from scanner.ports.feed import FeedFile, RefusedRecord

T = TypeVar("T")

DOCUMENT_BYTES: Final = 1024 * 1024 * 1024
"""A feed that is one JSON document, uncompressed."""
TOTAL_BYTES: Final = 64 * 1024 * 1024 * 1024
"""All of an archive, uncompressed."""
_WINDOW_BYTES: Final = 128 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_MAGIC_BYTES: Final = 262
_LZMA_BYTES: Final = 256 * 1024 * 1024


def entries(file: FeedFile, suffix: str = ".json") -> Iterator[Entry | RefusedRecord]:
    """Yield the texts of a zip, of a tar or of JSON lines, whatever it is compressed with.

    Raises:
        LimitExceededError: too many entries, or too large when unpacked.
        MalformedFileError: cut off, or not what its first bytes say.
    """
    if _head(file.stream)[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _bounded(zip_entries(file, suffix))
        return
    with open_uncompressed(file) as stream:
        head = stream.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]
        found = _tar_entries(file, stream, suffix) if head[257:262] == b"ustar" else _lines(file, stream)  # fmt: skip
        yield from _bounded(found)


def _bounded(found: Iterator[Entry | RefusedRecord]) -> Iterator[Entry | RefusedRecord]:
    total = 0
    for count, one in enumerate(found):
        if count >= ENTRIES_COUNT:
            raise LimitExceededError("feed_entries", ENTRIES_COUNT, count + 1, setting=False)
        if isinstance(one, Entry):
            total += len(one.content)
        if total > TOTAL_BYTES:
            raise LimitExceededError("feed_bytes", TOTAL_BYTES, total, setting=False)
        yield one


def _head(stream: BinaryIO) -> bytes:
    stream.seek(0)
    head = stream.read(_MAGIC_BYTES)
    stream.seek(0)
    return head


def open_uncompressed(file: FeedFile) -> _Unpacked:
    """Return the content of a gzip, xz or zstd file, or of a plain one, to be read front to back.

    Raises:
        MalformedFileError: a zstd file that is cut off; of the others that shows when they are read.
    """
    head = _head(file.stream)
    raw: Any = file.stream
    if head[:2] == b"\x1f\x8b":
        raw = gzip.GzipFile(fileobj=file.stream)
    elif head[:6] == b"\xfd7zXZ\x00":
        raw = _Xz(file.stream)
    elif head[:4] == _zstd_frames.MAGIC or _zstd_frames.is_skippable(head):
        if not _zstd_frames.is_whole(file.stream):
            raise MalformedFileError(file.name, "the compressed data is cut off")
        file.stream.seek(0)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        raw = decompressor.stream_reader(file.stream, read_across_frames=True, closefd=False)
    return _Unpacked(file.name, raw)


class _Xz(io.RawIOBase):
    """An xz file that may not ask for more memory than :data:`_LZMA_BYTES`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_BYTES)

    def read(self, size: int = -1) -> bytes:
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data or self._stream.read(_CHUNK_BYTES)
                if not rest.strip(b"\0"):
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_BYTES)
            else:
                rest = self._stream.read(_CHUNK_BYTES) if self._decoder.needs_input else b""
                if not rest and self._decoder.needs_input:
                    raise EOFError("cut off")
            found = self._decoder.decompress(rest, size if size > 0 else _CHUNK_BYTES)
            if found:
                return found


class _Unpacked:
    """A decompressed stream that turns every defect into ours, with a look ahead."""

    def __init__(self, name: str, raw: IO[bytes]) -> None:
        self._name = name
        self._raw = raw
        self._ahead = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end, without taking them."""
        while len(self._ahead) < size and (more := self._more(size)):
            self._ahead += more
        return self._ahead

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end; as ``tarfile`` wants it."""
        parts = [self._ahead[:size]]
        self._ahead = self._ahead[size:]
        left = size - len(parts[0])
        while left > 0 and (more := self._more(left)):
            parts.append(more)
            left -= len(more)
        return b"".join(parts)

    def _more(self, size: int) -> bytes:
        try:
            return self._raw.read(min(size, _CHUNK_BYTES)) or b""
        except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise MalformedFileError(self._name, "the compressed data is broken or cut off") from error  # fmt: skip


def read_whole(file: FeedFile, most_bytes: int = DOCUMENT_BYTES) -> bytes:
    """Return a whole document, uncompressed.

    Raises:
        LimitExceededError: longer than ``most_bytes``.
        MalformedFileError: broken compression.
    """
    with open_uncompressed(file) as stream:
        content = bytearray()
        while more := stream.read(_CHUNK_BYTES):
            content += more
            if len(content) > most_bytes:
                raise LimitExceededError("feed_document_bytes", most_bytes, len(content), setting=False)  # fmt: skip
        return bytes(content)


def decode(content: bytes | msgspec.Raw, type_: type[T], where: str) -> T:
    """Return JSON as a value of a type.

    Raises:
        MalformedFileError: not JSON, of another shape, or nested too deep.
    """
    try:
        return decode_json(content, type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise MalformedFileError(where, f"not as expected: {reason}") from error


# JSON lines and tar


def _lines(file: FeedFile, stream: _Unpacked) -> Iterator[Entry | RefusedRecord]:
    rest = b""
    number = 0
    while more := stream.read(_CHUNK_BYTES):
        *whole, rest = (rest + more).split(b"\n")
        if len(rest) > RECORD_BYTES:
            raise LimitExceededError("feed_record_bytes", RECORD_BYTES, len(rest), setting=False)
        for line in whole:
            number += 1
            if line.strip():
                yield Entry(f"{file.name}:{number}", line)
    if rest.strip():
        yield Entry(f"{file.name}:{number + 1}", rest)


def _tar_entries(file: FeedFile, stream: _Unpacked, suffix: str) -> Iterator[Entry | RefusedRecord]:
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as tar:
            for member in tar:
                vars(tar)["members"].clear()  # it would keep them all
                if not member.isfile() or not member.name.endswith(suffix):
                    continue
                name = member.name[:300]
                if member.size > RECORD_BYTES:
                    yield RefusedRecord(name, f"larger than {RECORD_BYTES} bytes")
                    continue
                body = tar.extractfile(member)
                content = body.read(RECORD_BYTES) if body else b""
                if len(content) != member.size:
                    raise MalformedFileError(file.name, "the tar is cut off")
                yield Entry(name, content)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise MalformedFileError(file.name, "the tar is broken or cut off") from error
