"""Named files of a local image: opened without following links out of it, read within bounds.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Protocol, Self

from scanner.errors import (
    ForbiddenHostError,
    InvalidReferenceError,
    LimitExceededError,
    NotFoundError,
    UpstreamError,
)

CHUNK_BYTES = 1024 * 1024

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR})
"""What opening says where there is no regular file of that name."""


class FileRange:
    """Part of an open file as a blob stream; owns its file descriptor.

    Reads by position, so that streams over one archive do not disturb each other.
    """

    def __init__(self, descriptor: int, offset: int, size: int, where: str) -> None:
        self.size = size
        self._descriptor = descriptor
        self._position = offset
        self._left = size
        self._where = where

    def read(self, size: int, /) -> bytes:
        """Return 1..size bytes, or ``b""`` at the end.

        Raises:
            UpstreamError: the disk does not give them.
        """
        wanted = min(size, self._left, CHUNK_BYTES)
        if wanted <= 0:
            return b""
        try:
            data = os.pread(self._descriptor, wanted, self._position)
        except OSError as error:
            raise local_error(self._where, "read", error) from error
        self._position += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        descriptor, self._descriptor, self._left = self._descriptor, -1, 0
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Files(Protocol):
    """Where the parts of a local image are: a directory or an archive."""

    where: str
    """The path a person gave."""

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name."""

    def open(self, name: str) -> FileRange:
        """Open a file.

        Raises:
            NotFoundError: no regular file of that name.
            ForbiddenHostError: a symlink leads out of the image.
        """

    def close(self) -> None:
        """Let go of everything; safe to call twice."""


class DirectoryFiles:
    """The files below a directory. Names come from checked digests and constants only."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._root = os.path.realpath(where)

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name, links out of the directory not counted."""
        path = os.path.realpath(Path(self._root, name))
        return self._is_inside(path) and is_file(path)

    def open(self, name: str) -> FileRange:
        """Open a file; see :class:`Files`."""
        path = os.path.realpath(Path(self._root, name))
        if not self._is_inside(path):
            raise ForbiddenHostError(self.where, f"open {name}", "a symlink leads out of the image")
        return open_regular(path, self.where, name)

    def close(self) -> None:
        """Nothing is held."""

    def _is_inside(self, path: str) -> bool:
        return path.startswith(self._root.rstrip("/") + "/")


def open_regular(path: str, where: str, name: str) -> FileRange:
    """Open the file at ``path`` as a stream; raises like :func:`open_descriptor`."""
    descriptor = open_descriptor(path, where, name)
    return FileRange(descriptor, 0, os.fstat(descriptor).st_size, where)


def open_descriptor(path: str, where: str, name: str) -> int:
    """Open the regular file at ``path``, never following a symlink and never waiting for a fifo.

    Raises:
        NotFoundError: there is none, or it is something else than a regular file.
        UpstreamError: it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise local_error(where, f"open {name}", error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFoundError(where, f"open {name}", "not a regular file")
    return descriptor


def read_file(files: Files, name: str, limit: str, allowed_bytes: int) -> bytes:
    """Return a whole file.

    Raises:
        LimitExceededError: it is larger than ``allowed_bytes``; ``limit`` is the name to report.
        NotFoundError: no such file.
    """
    with files.open(name) as stream:
        if stream.size > allowed_bytes:
            raise LimitExceededError(limit, allowed_bytes, stream.size)
        parts = []
        while data := stream.read(CHUNK_BYTES):
            parts.append(data)
    return b"".join(parts)


def local_error(where: str, operation: str, error: OSError) -> UpstreamError:
    """Return the typed error for what the file system said."""
    kind = NotFoundError if error.errno in _ABSENT else UpstreamError
    return kind(where, operation, error.strerror or type(error).__name__)


def split_reference(text: str) -> tuple[str, str]:
    """Return (path, choice) of ``path``, ``path:choice`` or ``path@sha256:…``; the longest existing path wins.

    ``choice`` is empty, a tag or name, or a digest. Where nothing exists the whole text is the path.
    """
    if os.path.lexists(text):
        return text, ""
    path, at, digest = text.rpartition("@")
    if at and os.path.lexists(path):
        return path, digest
    head, colon, tail = text.rpartition(":")
    while colon:
        if os.path.lexists(head):
            return head, tail
        head, colon, more = head.rpartition(":")
        tail = f"{more}:{tail}"
    return text, ""


def is_directory(path: str) -> bool:
    """Whether there is a directory, links followed; False for a text that can't be a path."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: str) -> bool:
    """Whether there is a regular file, links followed; False for a text that can't be a path."""
    return stat.S_ISREG(_mode(path))


def _mode(path: str) -> int:
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):  # gone, forbidden, too long, or with a NUL
        return 0


def missing_path(text: str) -> InvalidReferenceError:
    """Return the error for a local reference whose path does not exist."""
    error = InvalidReferenceError(text[:200], "no such file or directory")
    error.hint = "check the path; an image in a registry is named without such a scheme"
    return error
