"""What only PostgreSQL has: its engine, advisory locks, and being told of changes. Imported when it is used.

Locks and ``LISTEN`` belong to a session: a pooler between us and the server must not share sessions among
clients by transaction (pgbouncer: ``pool_mode = session``).

Source: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from scanner.store._backend import QUEUE_CHANNEL, Backend
from scanner.store._claims import poll
from scanner.store._errors import driver_error

_SCHEMA_SECONDS: Final = 120
_POOL_CONNECTIONS: Final = 5
_CONNECT: Final = {
    "application_name": "scanner",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms: a server that vanished is noticed
}


def engine_on(backend: Backend, *, autocommit: bool = False) -> Engine:
    """Return an engine; a connection that the server has closed meanwhile is replaced by a new one."""
    url = backend.url("psycopg")
    return create_engine(
        url,
        connect_args={name: value for name, value in _CONNECT.items() if name not in url.query},
        pool_size=_POOL_CONNECTIONS,
        max_overflow=-1,  # callers are threads of ours, and few
        pool_pre_ping=True,
        hide_parameters=True,
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
    )


def lock_key(*names: str) -> int:
    """Return the 64-bit key of an advisory lock."""
    text = "\0".join(("scanner", *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)


@contextmanager
def schema_lock(engine: Engine) -> Iterator[Connection]:
    """Yield a transaction that only one process at a time is in."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_SCHEMA_SECONDS}s'")
        connection.execute(select(func.pg_advisory_xact_lock(lock_key("schema"))))
        yield connection


@contextmanager
def claim(engine: Engine, *names: str, wait_seconds: float) -> Iterator[bool]:
    """Yield True while the claim is held, or False if somebody else held it all of ``wait_seconds``.

    ``engine`` is one of its own, in autocommit: a claim holds a connection, and must hold no transaction.
    The server frees the claims of a connection that ends, however it ends.

    Raises:
        SQLAlchemyError: the server cannot be asked.
    """
    key = lock_key(*names)
    with engine.connect() as connection:

        def attempt() -> bool | None:
            return bool(connection.scalar(select(func.pg_try_advisory_lock(key)))) or None

        claimed = poll(attempt, wait_seconds) is not None
        try:
            yield claimed
        finally:
            if claimed:
                _let_go(connection, key)


def _let_go(connection: Connection, key: int) -> None:
    try:
        connection.scalar(select(func.pg_advisory_unlock(key)))
    except SQLAlchemyError:  # the connection is gone, or must go: the lock goes with it
        connection.invalidate()


class Listener:
    """A connection that is told when scans are queued or freed. Not for several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._connection: psycopg.Connection | None = None

    def mark(self) -> None:
        """Begin to listen; what was told before does not count.

        Raises:
            StoreError: the server cannot be asked, or has gone; the next call connects anew.
        """
        if self._connection is None:
            with self._errors():
                self._connection = _listening(self._backend)
        self._hear(0, None)

    def wait(self, seconds: float) -> None:
        """Return when told, at the latest after ``seconds``. Raises as :meth:`mark` does."""
        self._hear(max(0.0, seconds), 1)

    def _hear(self, seconds: float, most: int | None) -> None:
        with self._errors():
            if self._connection is not None:
                for _ in self._connection.notifies(timeout=seconds, stop_after=most):
                    pass

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            self.close()
            raise driver_error(self._backend.shown, error) from error

    def close(self) -> None:
        """End the connection; safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _listening(backend: Backend) -> psycopg.Connection:
    url = backend.url("psycopg")
    known = {name: value for name, value in _CONNECT.items() if name not in url.query}
    connection = psycopg.connect(backend.dsn, autocommit=True, **known)  # type: ignore[arg-type]
    try:
        connection.execute(f"LISTEN {QUEUE_CHANNEL}")
    except BaseException:
        connection.close()
        raise
    return connection
