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


def store_error(where: str, reason: str, hint: str = "") -> StoreError:
    """Return a ``StoreError`` with a hint: the one given, or one that fits the reason."""
    error = StoreError(where, reason)
    lower = reason.lower()
    error.hint = hint or next((h for mark, h in _HINTS if mark in lower), "")
    error.retryable = _RETRYABLE in lower
    return error


@contextmanager
def store_errors(where: str) -> Iterator[None]:
    """Turn what the database or the file system raises into ``StoreError``; statements and values stay out."""
    try:
        yield
    except DBAPIError as error:
        raise store_error(where, str(error.orig)) from error
    except sqlite3.Error as error:
        raise store_error(where, str(error)) from error
    except PoolTimeoutError as error:
        raise store_error(where, "locked: every connection is in use") from error
    except SQLAlchemyError as error:
        raise store_error(where, type(error).__name__) from error
    except OSError as error:
        hint = "check that its directory exists, is yours and has space left"
        raise store_error(where, error.strerror or type(error).__name__, hint) from error
