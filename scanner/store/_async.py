"""Ask the database from asyncio: each question is a function of a connection, and the same for both databases.

On SQLite questions run in threads, as a whole: going to a thread and back costs 0.06 ms, and aiosqlite does
it for every step of a question. On PostgreSQL they run on asyncpg, and no thread is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from scanner.store._backend import parse_where

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Database(Protocol):
    """What asks; every method raises ``StoreError`` where the database does."""

    where: str
    """What errors call it; holds no password."""

    async def read(
        self, ask: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Return what ``ask(connection, …)`` returns. It must not write."""

    async def write(
        self, ask: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Return what ``ask(connection, …)`` returns, once what it wrote is durable: all of it or nothing.

        It may run more than once, each time after what it did before was undone.
        """

    async def close(self) -> None:
        """Close every connection; safe to call twice."""


async def open_async(where: str | Path) -> Database:
    """Open a database, made or brought up to date if need be.

    Raises:
        StoreError: it cannot be opened or made, or a newer scanner made it.
    """
    backend = parse_where(where)
    if backend.postgresql is None:
        from scanner.store._async_sqlite import open_sqlite  # noqa: PLC0415 - one of the two is needed

        return await open_sqlite(backend)
    from scanner.store._async_postgresql import open_postgresql  # noqa: PLC0415

    return await open_postgresql(backend)
