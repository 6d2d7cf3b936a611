"""Open the embedded database: where it is, how it is spoken to, and that its tables are today's.

Source: https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import os
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import OperationalError

from scanner.store._claims import claim, remove_abandoned
from scanner.store._errors import store_error, store_errors
from scanner.store._tables import HEAD, METADATA, VERSIONS

FILE_NAME: Final = "scanner.db"
_SQLITE_URL: Final = "sqlite:///"
_BUSY_SECONDS: Final = 30
_SCHEMA_SECONDS: Final = 120.0
_WRITE: Final = {"scanner_write": True}


def database_path(where: str | Path) -> Path:
    """Return the database file that ``where`` means: a directory, a file, or ``sqlite:///file``.

    Raises:
        StoreError: a URL of another kind.
    """
    text = str(where)
    if text.startswith(_SQLITE_URL) and len(text) > len(_SQLITE_URL):
        return Path(text.removeprefix(_SQLITE_URL))
    if "://" in text:
        scheme = text.partition("://")[0]  # the rest may hold a password
        raise store_error(f"{scheme}://…", "not a database this version can use", "use a directory")
    path = Path(where)
    return path if path.is_file() else path / FILE_NAME


def open_database(path: Path, locks: Path) -> Engine:
    """Return an engine on ``path``, made and brought up to date if need be.

    Raises:
        StoreError: no database, not ours, made by a newer scanner, or the disk says no.
    """
    with store_errors(str(path)):
        _make_private(path, locks)
        remove_abandoned(locks)
        engine = _engine(path)
        try:
            if _version(engine) != HEAD:
                _prepare(engine, path, locks)
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
    except OperationalError as error:
        if "no such table" in str(error.orig):
            return None
        raise


def _prepare(engine: Engine, path: Path, locks: Path) -> None:
    """Make the tables or bring them up to date; one process does, the others wait."""
    with claim(locks, "schema", wait_seconds=_SCHEMA_SECONDS) as claimed:
        if not claimed:
            raise store_error(str(path), "locked: another process is changing its tables")
        version = _version(engine)  # somebody else may have been first
        if version == HEAD:
            return
        if version is not None:
            from scanner.store._migrate import upgrade  # noqa: PLC0415 - Alembic costs 0.2 s

            upgrade(writer(engine), version, str(path))
        elif inspect(engine).get_table_names():
            raise store_error(str(path), "not a database of scanner", "choose another place for it")
        else:
            _create(engine)


def _create(engine: Engine) -> None:
    """Make today's tables in one transaction, as the migrations would have left them."""
    raw = engine.raw_connection()
    try:  # outside of a transaction, and once: the mode is a property of the file
        raw.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        raw.close()
    with writer(engine).begin() as connection:
        METADATA.create_all(connection)
        VERSIONS.create(connection)
        connection.execute(insert(VERSIONS).values(version_num=HEAD))
