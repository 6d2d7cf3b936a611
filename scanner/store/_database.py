"""Open the database: where it is, how it is spoken to, and that its tables are today's.

Source: https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from scanner.store._backend import Backend
from scanner.store._claims import claim, remove_abandoned
from scanner.store._errors import is_missing_table, store_error, store_errors
from scanner.store._tables import HEAD, METADATA, VERSIONS

_BUSY_SECONDS: Final = 30
_SCHEMA_SECONDS: Final = 120.0
_WRITE: Final = {"scanner_write": True}

_SchemaLock = Callable[[Engine], AbstractContextManager[Connection]]


def open_database(backend: Backend) -> Engine:
    """Return an engine on a database whose tables are made and brought up to date if need be.

    Raises:
        StoreError: no database, not ours, made by a newer scanner, or the disk or server says no.
    """
    with store_errors(backend.shown):
        if backend.path is None:
            from scanner.store import _postgresql  # noqa: PLC0415 - the driver costs 0.1 s

            engine = _postgresql.engine_on(backend)
            schema_lock: _SchemaLock = _postgresql.schema_lock
        else:
            locks = backend.path.parent / "locks"
            _make_private(backend.path, locks)
            remove_abandoned(locks)
            engine = _engine(backend.path)
            schema_lock = _schema_lock(backend.path, locks)
        try:
            if _version(engine) != HEAD:
                with schema_lock(engine) as connection:
                    _prepare(connection, backend.shown)
        except BaseException:
            engine.dispose()
            raise
        return engine


def writer(engine: Engine) -> Engine:
    """Return the engine for transactions that write: they take the lock when they begin, not half-way."""
    return engine.execution_options(**_WRITE)


def _make_private(path: Path, locks: Path) -> None:
    for directory in (path.parent, locks):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (
        not path.exists()
    ):  # findings are nobody else's business; SQLite's side files get the same mode
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": _BUSY_SECONDS},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: SqliteConnection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says
    for pragma in (f"busy_timeout={_BUSY_SECONDS * 1000}", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("scanner_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _version(engine: Engine) -> str | None:
    """Return the revision that the database is at, None where it says none."""
    try:
        with engine.connect() as connection:
            return connection.execute(select(VERSIONS.c.version_num)).scalar()
    except DBAPIError as error:
        if is_missing_table(error):
            return None
        raise


def _schema_lock(path: Path, locks: Path) -> Callable[[Engine], AbstractContextManager[Connection]]:
    """Return a transaction that only one process at a time is in."""

    @contextmanager
    def lock(engine: Engine) -> Iterator[Connection]:
        with claim(locks, "schema", wait_seconds=_SCHEMA_SECONDS) as claimed:
            if not claimed:
                raise store_error(str(path), "locked: another process is changing its tables")
            _use_write_ahead_log(engine)
            with writer(engine).begin() as connection:
                yield connection

    return lock


def _use_write_ahead_log(engine: Engine) -> None:
    raw = engine.raw_connection()
    try:  # outside of a transaction, and once: the mode is a property of the file
        raw.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        raw.close()


def _prepare(connection: Connection, where: str) -> None:
    """Make the tables or bring them up to date; the others wait meanwhile."""
    names = inspect(connection).get_table_names()
    if VERSIONS.name in names:
        version = connection.execute(select(VERSIONS.c.version_num)).scalar()
        if version == HEAD:  # somebody else was first
            return
        from scanner.store._migrate import upgrade  # noqa: PLC0415 - Alembic costs 0.2 s

        upgrade(connection, str(version), where)
    elif names:
        raise store_error(where, "not a database of scanner", "choose another place for it")
    else:  # as the migrations would have left them
        METADATA.create_all(connection)
        VERSIONS.create(connection)
        connection.execute(insert(VERSIONS).values(version_num=HEAD))
