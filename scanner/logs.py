"""Structured logs: one line an event, with the request's and the scan's id, and never a secret.

What is logged is chosen word by word: no header, body, query or exception text of others goes in.
Known secrets are taken out of every line all the same.
"""

from __future__ import annotations

import contextvars
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, TextIO

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SHORTEST_SECRET: Final = 4
_MASK: Final = "***"

_fields: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar(
    "scanner_log_fields", default=None
)


@contextmanager
def log_fields(**fields: str) -> Iterator[None]:
    """Add fields (``scan_id``, ``request_id``) to every line logged inside, also by tasks begun there."""
    token = _fields.set({**(_fields.get() or {}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def set_up_logs(
    *,
    level: str,
    form: Literal["json", "text"],
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log line to ``stream`` (standard error) in one form; ``level`` is a name as ``info``."""
    handler = logging.StreamHandler(stream or sys.stderr)
    hidden = tuple(
        sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
    )
    handler.setFormatter(_Formatter(form, hidden))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp.access", "asyncio", "alembic", "urllib3", "oras"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    def __init__(self, form: Literal["json", "text"], hidden: tuple[str, ...]) -> None:
        super().__init__()
        self._form = form
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        values = _values(record)
        if record.exc_info and record.exc_info[0] is not None:
            values["error"] = record.exc_info[0].__name__
            values["at"] = _place(record.exc_info[1])
        line = json.dumps(values, default=str) if self._form == "json" else _text(values)
        for secret in self._hidden:
            line = line.replace(secret, _MASK)
        return line


def _values(record: logging.LogRecord) -> dict[str, Any]:
    at = time.gmtime(record.created)
    values: dict[str, Any] = {
        "at_time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', at)}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": record.getMessage(),
    }
    values.update(_fields.get() or {})
    values.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
    return values


def _place(error: BaseException | None) -> list[str]:
    """Return file, line and function of each frame, newest last: a traceback without anybody's values."""
    found: list[str] = []
    trace = error.__traceback__ if error else None
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[-12:]


def _text(values: dict[str, Any]) -> str:
    head = f"{values.pop('at_time')} {values.pop('level'):7} {values.pop('event')}"
    rest = " ".join(f"{k}={v!r}" if " " in str(v) else f"{k}={v}" for k, v in values.items())
    return f"{head} {rest}".replace("\n", "\\n").replace("\r", "\\r")
