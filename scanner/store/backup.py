"""A whole copy of the embedded database while everything runs.

Source: https://www.sqlite.org/backup.html
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import aiosqlite
from sqlalchemy import URL

from scanner.errors import StoreError
from scanner.store._backend import parse_where
from scanner.store._errors import store_error, store_errors

_PAGES: Final = 2_000  # copied at once; writers wait no longer than for these
_PAUSE_SECONDS: Final = 0.005
_BUSY_SECONDS: Final = 30.0


def backup(
    where: str | Path, target: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Copy the database to a new file, checked and with mode 0600; it is there whole or not at all.

    ``progress`` is told how many pages are done, and of how many.

    Raises:
        StoreError: there is no database, ``target`` is there already or cannot be written, the copy is
            damaged, or the database is PostgreSQL; ``hint`` then has the command to use.
    """
    backend = parse_where(where)
    if backend.postgresql is not None:
        raise _other_way(backend.postgresql)
    if backend.path is None or not backend.path.is_file():
        raise store_error(backend.shown, "there is no database to copy")
    if target.exists():
        raise store_error(str(target), "is there already", "choose a new file")
    with store_errors(str(target)):
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
        os.close(handle)
        copy = Path(name)
        try:
            source = f"{backend.path.resolve().as_uri()}?mode=ro"
            asyncio.run(_copy(source, copy, progress or _untold))
            _check(copy)
            _keep(copy, target)
        finally:
            for path in (copy, *(Path(name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
                path.unlink(missing_ok=True)


async def _copy(source: str, copy: Path, progress: Callable[[int, int], None]) -> None:
    async with (
        aiosqlite.connect(source, uri=True, timeout=_BUSY_SECONDS) as reading,
        aiosqlite.connect(copy) as writing,
    ):
        await reading.execute("BEGIN")
        await reading.execute_fetchall("SELECT count(*) FROM sqlite_master")  # holds one state
        await reading.backup(
            writing,
            pages=_PAGES,
            sleep=_PAUSE_SECONDS,
            progress=lambda _status, left, all_: progress(all_ - left, all_),
        )
        # One file, without companions.
        await writing.execute_fetchall("PRAGMA journal_mode=DELETE")


def _untold(_done: int, _all: int) -> None:
    """Tell nobody."""


def _check(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        hint = "the database itself is damaged, or the disk is"
        raise store_error(str(copy), "the copy is damaged", hint)


def _keep(copy: Path, target: Path) -> None:
    """Give the copy its name, durably, and never in place of a file that appeared meanwhile."""
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(copy, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        copy.rename(target)
    directory = os.open(target.parent, os.O_RDONLY)
    with suppress(OSError):  # some file systems cannot
        os.fsync(directory)
    os.close(directory)


def _other_way(url: URL) -> StoreError:
    """Return the error that tells how PostgreSQL is saved; without the password, for which it asks."""
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database)
    command = ["pg_dump", "--format=custom", "--file=scanner.dump", str(bare)]
    hint = f"PostgreSQL saves itself: {shlex.join(command)}"
    return store_error(str(bare), "not the embedded database", hint)
