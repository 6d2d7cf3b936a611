"""How far a backfill has come: a file that only grows, so that a killed run loses nothing of it.

One line each: ``R repository`` is done with, ``T repository tag`` is. The first line says what for.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final, Self

from scanner.errors import StoreError

_FIRST_LINE: Final = "backfill 1 {}"
_FILE_BYTES: Final = 1024**3
"""Bounds what is read; some ten million tags."""
_MODE: Final = 0o600


class Cursor:
    """The file at ``path``, begun anew if it is of another ``purpose``; not for two runs at once."""

    def __init__(self, path: Path, purpose: str) -> None:
        """Read what is there.

        Raises:
            StoreError: it cannot be read or written, or another run has it.
        """
        self._path = path
        self._repositories: set[str] = set()
        self._tags: dict[str, set[str]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise StoreError(str(path), error.strerror or "cannot be opened") from error
        self._head = _FIRST_LINE.format(purpose)
        try:
            self._take_over()
        except BaseException:
            os.close(self._file)
            raise

    def _take_over(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = min(os.fstat(self._file).st_size, _FILE_BYTES)
            content = os.pread(self._file, size, 0).decode("utf-8", "replace")
            lines = content.split("\n")[:-1]  # a last one without an end was cut off: done again
            if lines[:1] == [self._head]:
                self._read(lines[1:])
                self._keep(lines)
            else:
                self._keep([self._head])
        except BlockingIOError as error:
            raise StoreError(str(self._path), "another backfill of it is running") from error
        except OSError as error:
            raise StoreError(str(self._path), error.strerror or "cannot be used") from error

    def _keep(self, lines: list[str]) -> None:
        kept = "".join(f"{line}\n" for line in lines).encode()
        os.ftruncate(self._file, len(kept))
        os.pwrite(self._file, kept, 0)
        os.lseek(self._file, 0, os.SEEK_END)

    def forget(self) -> None:
        """Begin anew; raises StoreError."""
        self._repositories.clear()
        self._tags.clear()
        try:
            self._keep([self._head])
        except OSError as error:
            raise StoreError(str(self._path), error.strerror or "cannot be written") from error

    def has_repository(self, repository: str) -> bool:
        """Whether all of a repository is done."""
        return repository in self._repositories

    def has_tag(self, repository: str, tag: str) -> bool:
        """Whether a tag is done."""
        return tag in self._tags.get(repository, ())

    def add_tags(self, repository: str, tags: list[str]) -> None:
        """Remember that these are done; raises StoreError."""
        self._write("".join(f"T {repository} {tag}\n" for tag in tags))

    def add_repository(self, repository: str) -> None:
        """Remember that all of it is done; raises StoreError."""
        self._write(f"R {repository}\n")

    def remove(self) -> None:
        """Forget everything: there is nothing left to do. Raises StoreError."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(str(self._path), error.strerror or "cannot be removed") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self, lines: list[str]) -> None:
        for line in lines:
            kind, _, rest = line.partition(" ")
            repository, _, tag = rest.partition(" ")
            if kind == "R":
                self._repositories.add(repository)
                self._tags.pop(repository, None)
            elif kind == "T":
                self._tags.setdefault(repository, set()).add(tag)

    def _write(self, text: str) -> None:
        try:
            os.write(self._file, text.encode())
        except OSError as error:
            raise StoreError(str(self._path), error.strerror or "cannot be written") from error
