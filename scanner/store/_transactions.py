"""Transactions that begin anew when others were in their way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from scanner.store._database import writer
from scanner.store._errors import sqlstate

_P = ParamSpec("_P")
_R = TypeVar("_R")

_TRIES: Final = 5
_LONGEST_SLEEP_SECONDS: Final = 0.1
_AGAIN_STATES: Final = frozenset({"40001", "40P01", "23503", "23505"})
"""PostgreSQL: others changed or removed the same rows meanwhile; from the start it can go well."""


def transact(
    engine: Engine,
    ask: Callable[Concatenate[Connection, _P], _R],
    /,
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _R:
    """Return what ``ask(connection, …)`` returns, once what it wrote is kept: all of it or nothing.

    Raises:
        SQLAlchemyError: the database says no, or others were in the way each time.
    """
    for left in reversed(range(_TRIES)):
        try:
            with writer(engine).begin() as connection:
                return ask(connection, *args, **kwargs)
        except DBAPIError as error:
            if not left or sqlstate(error) not in _AGAIN_STATES:
                raise
        time.sleep(random.random() * _LONGEST_SLEEP_SECONDS)  # noqa: S311 - no secret
    raise AssertionError("the last try returns or raises")
