"""Feeds from this machine: a directory laid out as the publisher's, or one file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scanner.errors import MalformedFileError, NotFoundError, StoreError
from scanner.ports.feed import FetchedFile, FileMark

_POINTER_BYTES: Final = 1_024
_PLACE: Final = "this machine"


class DirectoryFeedSource:
    """A directory that holds what the publisher has: ``DIR/PATH``, or ``DIR/FEED/PATH`` for many feeds in one."""

    def __init__(self, directory: Path, feed: str) -> None:
        self.name = str(directory)
        below = directory / feed
        self._root = below if below.is_dir() else directory

    def fetch(self, path: str, target: Path, mark: FileMark | None) -> FetchedFile | None:  # noqa: ARG002 - nothing is copied
        """Return where a file is; None if it is still the one that ``mark`` names.

        Raises:
            NotFoundError: there is none.
            StoreError: it cannot be read.
        """
        return _local(self._root / path, path, mark)

    def read_pointer(self, path: str) -> str:
        """Return the name that a small text holds; without such a text, that of the only archive."""
        file = self._root / path
        if file.is_file():
            name = file.read_bytes()[:_POINTER_BYTES].decode("ascii", "replace").strip()
            if name and "/" not in name and (self._root / name).is_file():
                return name
        found = sorted(p.name for p in self._root.glob("*.tar.*")) if self._root.is_dir() else []
        if len(found) != 1:
            raise MalformedFileError(str(file), "it does not name a file that is there")
        return found[0]

    def close(self) -> None:
        """Hold nothing."""


class SingleFileSource:
    """One file that stands for all of a unit."""

    def __init__(self, file: Path) -> None:
        self.name = str(file)
        self._file = file

    def fetch(self, path: str, target: Path, mark: FileMark | None) -> FetchedFile | None:  # noqa: ARG002 - nothing is copied
        """Return the file, whatever it is asked for; raises like :meth:`DirectoryFeedSource.fetch`."""
        return _local(self._file, path, mark)

    def read_pointer(self, path: str) -> str:  # noqa: ARG002 - there is only one
        """Return the file's own name."""
        return self._file.name

    def close(self) -> None:
        """Hold nothing."""


def _local(file: Path, path: str, mark: FileMark | None) -> FetchedFile | None:
    try:
        about = file.stat()
        if not file.is_file():
            raise IsADirectoryError
    except FileNotFoundError as error:
        raise NotFoundError(_PLACE, "read", f"{file}: no such file") from error
    except OSError as error:
        raise StoreError(str(file), error.strerror or "not a file") from error
    found = FileMark(path=path, etag=f"{about.st_mtime_ns:x}-{about.st_size:x}")
    return None if mark is not None and mark == found else FetchedFile(file, found)
