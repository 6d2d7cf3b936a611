"""Which database a text means: a directory or file for SQLite, or a PostgreSQL URL.

Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from scanner.store._errors import store_error

FILE_NAME: Final = "scanner.db"
QUEUE_CHANNEL: Final = "scanner_queue"
"""PostgreSQL: who queues or frees a scan does ``NOTIFY`` on it in the same transaction; workers ``LISTEN``."""

_SQLITE_URL: Final = "sqlite:///"
_POSTGRESQL_SCHEMES: Final = frozenset({"postgres", "postgresql"})
_USE: Final = "use a directory, sqlite:///file or postgresql://user:password@host/name"


@dataclass(frozen=True)
class Backend:
    """A database; exactly one of ``path`` and ``postgresql`` is there."""

    path: Path | None = None
    """SQLite's file."""
    postgresql: URL | None = None
    """With the password, without a driver; its ``repr`` hides the password."""

    @property
    def locks(self) -> Path | None:
        """Directory of the lock files beside SQLite's file."""
        return self.path.parent / "locks" if self.path else None

    @property
    def shown(self) -> str:
        """What errors and logs call it: never with a password or a query, which may hold one."""
        if self.postgresql is None:
            return str(self.path)
        return self.postgresql.set(query={}).render_as_string(hide_password=True)

    def url(self, driver: str) -> URL:
        """Return the URL for an engine: ``psycopg`` or ``asyncpg``, for SQLite ``pysqlite`` or ``aiosqlite``."""
        if self.postgresql is None:
            return URL.create(f"sqlite+{driver}", database=str(self.path))
        return self.postgresql.set(drivername=f"postgresql+{driver}")

    @property
    def dsn(self) -> str:
        """PostgreSQL's URL as libpq and asyncpg take it, with the password: never show it."""
        return self.url("x").set(drivername="postgresql").render_as_string(hide_password=False)


def parse_where(where: str | Path) -> Backend:
    """Return the database that ``where`` means: a directory, a file, ``sqlite:///file``, ``postgresql://…``.

    Raises:
        StoreError: a URL of another kind, or one that cannot be read; never with a password.
    """
    text = str(where)
    if text.startswith(_SQLITE_URL) and len(text) > len(_SQLITE_URL):
        return Backend(path=Path(text.removeprefix(_SQLITE_URL)))
    if "://" not in text:
        path = Path(where)
        return Backend(path=path if path.is_file() else path / FILE_NAME)
    scheme = text.partition("://")[0]  # the rest may hold a password
    if scheme.partition("+")[0] not in _POSTGRESQL_SCHEMES:
        raise store_error(f"{scheme}://…", "not a database this version can use", _USE)
    return Backend(postgresql=_postgresql_url(text, scheme))


def _postgresql_url(text: str, scheme: str) -> URL:
    try:
        url = make_url(f"postgresql{text.removeprefix(scheme)}")
    except (ArgumentError, ValueError):  # their words may hold the password
        raise store_error(f"{scheme}://…", "not a URL", _USE) from None
    if "@" in (url.host or ""):
        hint = "write @ in a password as %40, : as %3A and / as %2F"
        raise store_error(f"{scheme}://…", "not a URL: more than one @", hint)
    return url
