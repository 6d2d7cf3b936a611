"""SQLite from asyncio: questions run in threads, and writes that come together share a transaction.

A commit that survives a power cut waits for the disk (``synchronous=FULL``); waiting once for many of them
is what makes a burst of small writes cheap.

Source: https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from sqlite3 import Connection as SqliteConnection
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from scanner.store._backend import Backend
from scanner.store._database import open_database
from scanner.store._errors import store_error, store_errors

_P = ParamSpec("_P")
_R = TypeVar("_R")

_READERS: Final = 4
_BUSY_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.001
_GROUP_SECONDS: Final = 0.01
_CHECKPOINT: Final = "wal_autocheckpoint=8000"
"""Pages; SQLite's own 1,000 are written by a single batch of pushes, which then waits for the disk twice."""


@dataclass(frozen=True, eq=False)
class _Write:
    ask: Callable[[Connection], Any]
    done: Future[Any]


class SqliteDatabase:
    """A ``scanner.store._async.Database`` on SQLite."""

    def __init__(self, reader: Engine, writer: Engine, where: str) -> None:
        """Use :func:`open_sqlite`."""
        self.where = where
        self._reader = reader
        self._writer = writer
        self._read_threads = ThreadPoolExecutor(_READERS, "store-read")
        self._write_thread = ThreadPoolExecutor(1, "store-write")
        self._waiting: deque[_Write] = deque()
        self._is_closed = False

    async def read(
        self, ask: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Return what ``ask`` returns, asked of one snapshot."""

        def work() -> _R:
            with store_errors(self.where), self._reader.connect() as connection:
                return ask(connection, *args, **kwargs)

        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, work)

    async def write(
        self, ask: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Return what ``ask`` returns, after the commit."""
        write = _Write(lambda connection: ask(connection, *args, **kwargs), Future())
        self._check_open()
        self._waiting.append(write)
        self._write_thread.submit(self._write_waiting)
        result: _R = await asyncio.wrap_future(write.done)
        return result

    async def close(self) -> None:
        """Close every connection, after the writes that wait; safe to call twice."""
        self._is_closed = True
        await asyncio.to_thread(self._close)

    def _check_open(self) -> None:
        if self._is_closed:
            raise store_error(self.where, "closed")

    def _close(self) -> None:
        for threads in (self._write_thread, self._read_threads):
            threads.shutdown()
        for engine in (self._writer, self._reader):
            engine.dispose()

    def _write_waiting(self) -> None:
        """Do the writes that wait, in one transaction; none wait if an earlier call has done them."""
        results: list[tuple[Future[Any], Any]] = []
        taken: list[_Write] = []
        if not self._waiting:
            return
        try:
            with store_errors(self.where), self._writer.begin() as connection:
                until = time.monotonic() + _GROUP_SECONDS
                while self._waiting and time.monotonic() < until:
                    write = self._waiting.popleft()
                    if not write.done.set_running_or_notify_cancel():
                        continue
                    taken.append(write)
                    self._do(connection, write, results)
        except BaseException as error:  # noqa: BLE001 - told to everyone who waits
            _fail(taken or self._take_all(), error)
            return
        for done, result in results:
            done.set_result(result)

    def _do(
        self, connection: Connection, write: _Write, results: list[tuple[Future[Any], Any]]
    ) -> None:
        """Do one write; if it fails, it is undone and the others are not harmed."""
        try:
            with store_errors(self.where), connection.begin_nested():
                results.append((write.done, write.ask(connection)))
        except Exception as error:  # noqa: BLE001 - told to who waits for it
            write.done.set_exception(error)

    def _take_all(self) -> list[_Write]:
        """Return what waits: the transaction could not even begin."""
        taken = []
        while self._waiting:
            write = self._waiting.popleft()
            if write.done.set_running_or_notify_cancel():
                taken.append(write)
        return taken


def _fail(writes: list[_Write], error: BaseException) -> None:
    for write in writes:
        if not write.done.done():
            write.done.set_exception(error)


def _durable_writer(backend: Backend) -> Engine:
    engine = create_engine(
        backend.url("pysqlite"), pool_size=1, max_overflow=0, hide_parameters=True
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: SqliteConnection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says
    for pragma in ("busy_timeout=0", "synchronous=FULL", "foreign_keys=ON", _CHECKPOINT):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    """Wait for the lock by asking often: SQLite's own waits grow to 0.1 s, and whoever asks oftener wins."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > until:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


async def open_sqlite(backend: Backend) -> SqliteDatabase:
    """Open SQLite's file, made or brought up to date if need be; raises ``StoreError``."""
    reader = await asyncio.to_thread(open_database, backend)
    return SqliteDatabase(reader, _durable_writer(backend), backend.shown)
