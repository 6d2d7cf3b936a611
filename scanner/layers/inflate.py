"""From a blob to windows of its uncompressed tar, both digests verified to the end of the stream.

Compression is told by magic bytes, never by media type. gzip and zstd streams may have many members
or frames (eStargz, pigz, zstd:chunked): decoders stop after the first unless told to go on.

Source: https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, Protocol

from scanner.errors import (
    DigestMismatchError,
    LimitExceededError,
    MalformedLayerError,
)
from scanner.ports import BlobStream, LayerProgress, Limits

_READ_BYTES: Final = 256 * 1024
_XZ_MEMORY_BYTES: Final = 128 * 1024 * 1024


class _Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def _hasher(digest: str | None) -> _Hasher | None:
    return hashlib.new(digest.partition(":")[0]) if digest else None


class Blob:
    """A blob's compressed bytes, counted and hashed as they pass."""

    def __init__(self, stream: BlobStream, digest: str | None, size: int | None) -> None:
        """``digest`` and ``size`` are what the descriptor promises; None where nothing does."""
        self._stream = stream
        self._digest = digest
        self._size = size
        self._hash = _hasher(digest)
        self.read_bytes = 0

    def read(self, size: int = _READ_BYTES, /) -> bytes:
        """Return the next bytes, ``b""`` at the end.

        Raises:
            DigestMismatchError: more bytes came than the descriptor's size.
        """
        data = self._stream.read(size)
        self.read_bytes += len(data)
        if self._hash is not None:
            self._hash.update(data)
        if self._size is not None and self.read_bytes > self._size:
            raise DigestMismatchError("layer size", str(self._size), f"more than {self._size}")
        return data

    def verify(self) -> None:
        """Read what is left, then compare size and digest.

        Raises:
            DigestMismatchError: they differ.
        """
        while self.read():
            pass
        if self._size is not None and self.read_bytes != self._size:
            raise DigestMismatchError("layer size", str(self._size), str(self.read_bytes))
        if self._hash is not None and self._digest is not None:
            algorithm = self._digest.partition(":")[0]
            actual = f"{algorithm}:{self._hash.hexdigest()}"
            if actual != self._digest:
                raise DigestMismatchError("layer digest", self._digest, actual)


def compression_of(head: bytes) -> str:
    """Return ``gzip``, ``zstd``, ``bzip2``, ``xz`` or ``none`` by the first bytes."""
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):  # noqa: PLR2004
        return "zstd"
    if head[:3] == b"BZh":
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    return "none"


class _Rewound:
    """A blob with its first bytes put back."""

    def __init__(self, head: bytes, blob: Blob) -> None:
        self._head = head
        self._blob = blob

    def read(self, size: int = _READ_BYTES, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._blob.read(size)


def _members(source: _Rewound, make: Callable[[], Any], magic: bytes, size: int) -> Iterator[bytes]:
    """Inflate every member of a stream whose decoder has zlib's or bz2's interface."""
    data = b""
    while data := data or source.read():
        data = data.lstrip(b"\0")  # padding after a member is legal
        while 0 < len(data) < len(magic) and (more := source.read()):
            data += more
        if not data:
            continue
        if not data.startswith(magic):
            raise MalformedLayerError("garbage after the end of the compressed stream")
        data = yield from _member(make(), data, source, size)


def _member(
    decoder: Any, data: bytes, source: _Rewound, size: int
) -> Generator[bytes, None, bytes]:
    """Inflate one member in pieces of at most ``size`` bytes; return the bytes that follow it."""
    while True:
        out = decoder.decompress(data, size)
        if out:
            yield out
        if decoder.eof:
            return bytes(decoder.unused_data)
        data = getattr(decoder, "unconsumed_tail", b"")
        if not data and not out:
            data = source.read()
            if not data:
                raise MalformedLayerError("the compressed stream is cut off")


def _gzip(source: _Rewound, limits: Limits) -> Iterator[bytes]:
    from isal import igzip_lib, isal_zlib  # noqa: PLC0415 - not needed for cached layers

    try:
        yield from _members(
            source, lambda: isal_zlib.decompressobj(wbits=31), b"\x1f\x8b", limits.window_bytes
        )
    except igzip_lib.error as error:  # type: ignore[misc] # its stub has a variable, not a class
        raise MalformedLayerError(f"gzip: {error}") from error


def _bzip2(source: _Rewound, limits: Limits) -> Iterator[bytes]:
    import bz2  # noqa: PLC0415

    try:
        yield from _members(source, bz2.BZ2Decompressor, b"BZh", limits.window_bytes)
    except OSError as error:
        raise MalformedLayerError(f"bzip2: {error}") from error


def _xz(source: _Rewound, limits: Limits) -> Iterator[bytes]:
    import lzma  # noqa: PLC0415

    try:
        yield from _members(
            source,
            lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES),
            b"\xfd7zXZ\0",
            limits.window_bytes,
        )
    except lzma.LZMAError as error:
        raise MalformedLayerError(f"xz: {error}") from error


def _zstd(source: _Rewound, limits: Limits) -> Iterator[bytes]:
    # stream_reader, not decompressobj: 256 KiB of zstd may hold gigabytes, and only the reader bounds
    # its output. It does not notice a cut-off last frame; the diff_id and the tar's end do.
    import zstandard  # noqa: PLC0415

    decoder = zstandard.ZstdDecompressor(max_window_size=limits.zstd_window_bytes)
    try:
        with decoder.stream_reader(
            source,  # type: ignore[arg-type]
            read_size=_READ_BYTES,
            read_across_frames=True,
        ) as reader:
            while window := reader.read(limits.window_bytes):
                yield window
    except zstandard.ZstdError as error:
        raise MalformedLayerError(f"zstd: {error}") from error


def _plain(source: _Rewound, limits: Limits) -> Iterator[bytes]:
    while window := source.read(limits.window_bytes):
        yield window


_DECODERS: Final = {"gzip": _gzip, "zstd": _zstd, "bzip2": _bzip2, "xz": _xz, "none": _plain}


def _coalesced(pieces: Iterator[bytes], floor: int) -> Iterator[bytes]:
    """Join small pieces: a stream of many small members must not cost a window each."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in pieces:
        if not held and len(piece) >= floor:
            yield piece
            continue
        held.append(piece)
        held_bytes += len(piece)
        if held_bytes >= floor:
            yield b"".join(held)
            held, held_bytes = [], 0
    if held:
        yield b"".join(held)


class Inflater:
    """Windows of one layer's tar, in order, from its blob. Iterate once."""

    def __init__(
        self,
        blob: Blob,
        *,
        diff_id: str | None,
        limits: Limits,
        progress: LayerProgress,
        check: Callable[[], None],
    ) -> None:
        """``check`` is called per window and raises to stop (cancelled, out of time)."""
        self._blob = blob
        self._wanted_diff_id = diff_id
        self._hash: Any = hashlib.new(diff_id.partition(":")[0] if diff_id else "sha256")
        self._limits = limits
        self._progress = progress
        self._check = check
        self.compression = "none"
        self.out_bytes = 0

    @property
    def diff_id(self) -> str:
        """The digest of what has come out so far."""
        return f"{self._hash.name}:{self._hash.hexdigest()}"

    def __iter__(self) -> Iterator[bytes]:
        """Yield windows; normal end means that size, digest and diff_id are right.

        Raises:
            MalformedLayerError: corrupt or cut-off stream.
            DigestMismatchError: size, digest or diff_id differ.
            LimitExceededError: ``layer_bytes`` or ``expansion_ratio``.
            UpstreamError: the blob could not be read on.
        """
        try:
            yield from self._windows()
        except MalformedLayerError:
            # Bytes spoilt on the way are told by their digest, which says more than "corrupt".
            self._blob.verify()
            raise
        self._blob.verify()
        if self._wanted_diff_id is not None and self.diff_id != self._wanted_diff_id:
            raise DigestMismatchError("layer diff_id", self._wanted_diff_id, self.diff_id)

    def _windows(self) -> Iterator[bytes]:
        head = self._blob.read()
        while len(head) < 8 and (more := self._blob.read()):  # noqa: PLR2004 - longest magic
            head += more
        self.compression = compression_of(head)
        pieces = _DECODERS[self.compression](_Rewound(head, self._blob), self._limits)
        told = 0
        for window in _coalesced(pieces, self._limits.window_bytes // 4):
            self._check()
            self._hash.update(window)
            self.out_bytes += len(window)
            self._bound()
            self._progress.advance(self._blob.read_bytes - told, len(window))
            told = self._blob.read_bytes
            yield window

    def _bound(self) -> None:
        limits = self._limits
        if self.out_bytes > limits.layer_bytes:
            raise LimitExceededError("layer_bytes", limits.layer_bytes, self.out_bytes)
        if self.out_bytes > limits.expansion_floor_bytes:
            ratio = self.out_bytes / max(1, self._blob.read_bytes)
            if ratio > limits.expansion_ratio:
                raise LimitExceededError("expansion_ratio", limits.expansion_ratio, ratio)
