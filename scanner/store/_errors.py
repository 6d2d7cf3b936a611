"""The one place where errors of the database and its files become ``StoreError``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from scanner.errors import StoreError

_HINTS: Final = (
    ("not a database", "it is damaged or no database: move it away and a new one is made"),
    (
        "malformed",
        "it is damaged: move it away and a new one is made; reports are then computed anew",
    ),
    ("readonly", "make the file and its directory writable, or set store.directory to another one"),
    ("full", "free some disk space, or set store.directory to another disk"),
    ("unable to open", "check that its directory exists and is yours"),
    ("disk i/o", "check the disk's free space, quota and health"),
    ("locked", "another process has been writing for long; try again"),
)
_RETRYABLE: Final = "locked"
_MISSING_TABLE: Final = "42P01"
_STATES: Final = (  # PostgreSQL's SQLSTATE, by its beginning; the longest are first
    ("42P01", "its tables are missing: start scanner once with a user who may create them"),
    ("3D000", "create the database first, or correct its name in store.url"),
    ("28", "check user and password in store.url"),
    ("42501", "grant this user the right to create and change tables in its schema"),
    ("53100", "free some disk space on the database server"),
    ("53", "the database server is at its limits (connections, memory): raise them, or try again"),
    ("55P03", "another process is changing its tables; try again"),
    ("57", "the database server is being stopped or started; try again"),
    ("40", "others changed the same rows; try again"),
    ("25006", "the database server is read-only: use the primary"),
)
_PASSING: Final = ("08", "40", "53", "55P03", "57")
_NO_ANSWER: Final = "check that the database server of store.url runs and can be reached"
_REFUSED: Final = (  # the server's words where it lets nobody in: the driver gives no SQLSTATE then
    ('database "', "create the database first, or correct its name in store.url"),
    ('role "', "check user and password in store.url"),
    ("password", "check user and password in store.url"),
    ("pg_hba", "let this user and address in by the server's pg_hba.conf"),
)
_MISUSED: Final = "correct the options after the ? in store.url"
_FATAL: Final = "FATAL:"


def store_error(where: str, reason: str, hint: str = "") -> StoreError:
    """Return a ``StoreError`` with a hint: the one given, or one that fits the reason."""
    error = StoreError(where, reason)
    lower = reason.lower()
    error.hint = hint or next((h for mark, h in _HINTS if mark in lower), "")
    error.retryable = _RETRYABLE in lower
    return error


def driver_error(where: str, cause: BaseException | None) -> StoreError:
    """Return a ``StoreError`` for what a driver raised; of PostgreSQL's words only those without values."""
    diagnosis = getattr(cause, "diag", None)
    if diagnosis is None:
        return store_error(where, str(cause))
    state = str(getattr(cause, "sqlstate", None) or "")
    lines = str(cause).splitlines() or ["no answer"]
    if not state:
        return _no_session(where, lines[0])
    hint = next((hint for start, hint in _STATES if state.startswith(start)), "")
    error = store_error(where, diagnosis.message_primary or lines[0], hint)
    error.retryable = state.startswith(_PASSING)
    return error


def _no_session(where: str, reason: str) -> StoreError:
    """Return the error of a connection that was not made, or was lost."""
    _, fatal, words = reason.partition(_FATAL)
    hint = next((hint for mark, hint in _REFUSED if mark in words), "")
    if not fatal and "option" in reason:
        hint = _MISUSED
    error = store_error(where, reason, hint or _NO_ANSWER)
    error.retryable = not hint
    return error


def sqlstate(error: DBAPIError) -> str:
    """Return PostgreSQL's code of an error; empty for SQLite and for lost connections."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def is_missing_table(error: DBAPIError) -> bool:
    """Whether a table that was asked for does not exist."""
    return sqlstate(error) == _MISSING_TABLE or "no such table" in str(error.orig)


@contextmanager
def store_errors(where: str) -> Iterator[None]:
    """Turn what the database or the file system raises into ``StoreError``; statements and values stay out."""
    try:
        yield
    except DBAPIError as error:
        raise driver_error(where, error.orig) from error
    except sqlite3.Error as error:
        raise store_error(where, str(error)) from error
    except PoolTimeoutError as error:
        raise store_error(where, "locked: every connection is in use") from error
    except SQLAlchemyError as error:
        raise store_error(where, type(error).__name__) from error
    except UnicodeEncodeError as error:
        raise store_error(where, "a text holds half a surrogate pair") from error
    except OSError as error:
        hint = "check that its directory exists, is yours and has space left"
        raise store_error(where, error.strerror or type(error).__name__, hint) from error
