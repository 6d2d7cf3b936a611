"""PostgreSQL from asyncio, on asyncpg.

Source: https://magicstack.github.io/asyncpg/current/api/index.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from scanner.store._backend import Backend
from scanner.store._database import open_database
from scanner.store._errors import driver_error, store_error, store_errors

_P = ParamSpec("_P")
_R = TypeVar("_R")

_CONNECTIONS: Final = 8
_WAIT_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_LIBPQ_ONLY: Final = (
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
    *("keepalives_count", "tcp_user_timeout", "fallback_application_name", "channel_binding"),
    *("gssencmode", "load_balance_hosts", "require_auth", "sslcompression", "hostaddr"),
)
_TRIES: Final = 5
_PASSING_STATES: Final = frozenset({"40001", "40P01"})  # serialization failure, deadlock


class PostgresqlDatabase:
    """A ``scanner.store._async.Database`` on PostgreSQL."""

    def __init__(self, engine: AsyncEngine, where: str) -> None:
        """Use :func:`open_postgresql`."""
        self.where = where
        self._engine = engine
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._is_closed = False

    async def read(
        self, ask: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Return what ``ask`` returns; each of its statements sees what was committed before it."""
        self._check_open()
        with _errors(self.where):
            try:
                return await self._read(ask, *args, **kwargs)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return await self._read(ask, *args, **kwargs)  # the server was restarted meanwhile

    async def _read(
        self, ask: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        async with self._reader.connect() as connection:
            return await connection.run_sync(ask, *args, **kwargs)

    async def write(
        self, ask: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Return what ``ask`` returns, after the commit."""
        self._check_open()
        with _errors(self.where):
            for attempt in range(_TRIES):
                async with self._engine.connect() as connection:
                    try:
                        await connection.begin()
                        result = await connection.run_sync(ask, *args, **kwargs)
                    except DBAPIError as error:  # nothing was committed
                        if attempt == _TRIES - 1 or not _passes(error):
                            raise
                        continue
                    await connection.commit()
                    return result
        raise AssertionError  # the last attempt returns or raises

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        self._is_closed = True
        await self._engine.dispose()

    def _check_open(self) -> None:
        if self._is_closed:
            raise store_error(self.where, "closed")


def _passes(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state in _PASSING_STATES


class _Told(Exception):  # noqa: N818 - never raised
    """What asyncpg said, in the words that ``driver_error`` knows; without values, which its own texts hold."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__()
        self.sqlstate = getattr(error, "sqlstate", None)
        said = str(getattr(error, "message", "") or "") if self.sqlstate else ""
        self.diag = SimpleNamespace(message_primary=said or type(error).__name__)


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Like ``store_errors``, for asyncpg's errors: those of SQLAlchemy's have them as their cause."""
    with store_errors(where):
        try:
            yield
        except DBAPIError as error:
            cause = error.orig and (error.orig.__cause__ or error.orig)
            raise driver_error(where, _Told(cause)) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:  # while it connects
            raise driver_error(where, _Told(error)) from error


def _dsn(backend: Backend) -> str:
    """Return the URL, with the password, without what only libpq knows: asyncpg would send that to the server."""
    url = backend.url("asyncpg").difference_update_query(_LIBPQ_ONLY)
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


async def open_postgresql(backend: Backend) -> PostgresqlDatabase:
    """Open a database of a server, its tables made or brought up to date; raises ``StoreError``."""
    engine = await asyncio.to_thread(open_database, backend)
    await asyncio.to_thread(engine.dispose)
    dsn = _dsn(backend)
    named = {"application_name": "scanner"} if "application_name" not in dsn else {}

    async def connect() -> Any:
        return await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, server_settings=named)

    return PostgresqlDatabase(
        create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            hide_parameters=True,
        ),
        backend.shown,
    )
