"""Gather one wanted file's bytes: in memory up to a limit, beyond it in an unlinked file on disk."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scanner.errors import LimitExceededError, MalformedFileError
from scanner.layers.tar_walk import Member
from scanner.ports import Limits

_PAX_SPARSE_BLOCK = 512


class Spool:
    """The disk space one layer may use for files too large to hold in memory."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        """``directory`` must exist; files in it never have a name, so a killed scan leaves none."""
        self.directory = directory
        self._allowed = limits.spool_bytes

    def open(self, size: int) -> BinaryIO:
        """Return an unlinked file for ``size`` bytes.

        Raises:
            LimitExceededError: ``spool_bytes``.
        """
        if size > self._allowed:
            raise LimitExceededError("spool_bytes", self._allowed, size)
        self._allowed -= size
        return tempfile.TemporaryFile(dir=self.directory)

    def give_back(self, size: int) -> None:
        """The file is closed."""
        self._allowed += size


class Collector:
    """One file being gathered."""

    def __init__(self, size: int, spool: Spool, limits: Limits) -> None:
        """Raises ``LimitExceededError`` like :meth:`Spool.open`."""
        self._size = size
        self._spool = spool
        self._pieces: list[bytes] = []
        self._file = spool.open(size) if size > limits.memory_file_bytes else None

    def add(self, data: bytes) -> None:
        """Append ``data``."""
        if self._file is not None:
            self._file.write(data)
        else:
            self._pieces.append(data)

    @contextmanager
    def content(self) -> Iterator[bytes | mmap.mmap]:
        """Give the whole content; an mmap is closed when the context ends."""
        if self._file is None:
            yield self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            return
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped

    def close(self) -> None:
        """Let go of the memory or disk space."""
        self._pieces = []
        if self._file is not None:
            self._file.close()
            self._spool.give_back(self._size)
            self._file = None


def is_sparse(member: Member) -> bool:
    """Whether the stored body has to be expanded."""
    return member.sparse is not None or any(k.startswith(b"GNU.sparse.") for k in member.pax)


def expand_sparse(member: Member, stored: bytes, allowed_bytes: int) -> bytes:
    """Return the content of a sparse file with its holes.

    Raises:
        MalformedFileError: a map that does not fit the stored bytes.
        LimitExceededError: ``memory_file_bytes``: expanding would need more memory than that.
    """
    path = member.path.decode("utf-8", "backslashreplace")
    try:
        extents, at = _extents(member, stored)
    except ValueError as error:
        raise MalformedFileError(path, "broken sparse map") from error
    real = max((offset + length for offset, length in extents), default=0)
    if real > allowed_bytes:
        raise LimitExceededError("memory_file_bytes", allowed_bytes, real)
    out = bytearray(real)
    for offset, length in extents:
        if offset < 0 or length < 0 or at + length > len(stored):
            raise MalformedFileError(path, "broken sparse map")
        out[offset : offset + length] = stored[at : at + length]
        at += length
    return bytes(out)


def _extents(member: Member, stored: bytes) -> tuple[list[tuple[int, int]], int]:
    """Return the extents and where in ``stored`` the data begins."""
    if member.sparse is not None:
        return member.sparse, 0
    if b"GNU.sparse.map" in member.pax:  # format 0.1
        numbers = [int(n) for n in member.pax[b"GNU.sparse.map"].split(b",")]
        return list(zip(numbers[::2], numbers[1::2], strict=False)), 0
    if b"GNU.sparse.major" not in member.pax:
        raise ValueError("format 0.0 repeats its keys; nothing has written it since 2006")
    lines = stored.split(b"\n", 1)
    count = int(lines[0])
    lines = stored.split(b"\n", 1 + 2 * count)[1 : 1 + 2 * count] if count <= len(stored) else []
    if len(lines) != 2 * count:
        raise ValueError("sparse map is cut off")
    used = len(stored.split(b"\n", 1)[0]) + 1 + sum(len(n) + 1 for n in lines)
    numbers = [int(n) for n in lines]
    start = -(-used // _PAX_SPARSE_BLOCK) * _PAX_SPARSE_BLOCK
    return list(zip(numbers[::2], numbers[1::2], strict=True)), start
