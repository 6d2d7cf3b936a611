"""Identifiers that sort by when they were made, and moments as the tables keep them.

Source: https://github.com/ulid/spec
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS: Final = 80
_ID_CHARS: Final = 26
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_lock = threading.Lock()
_last = 0


def now_ms() -> int:
    """Return the moment as whole milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """Return a ULID, greater than every one that this process made before."""
    global _last  # noqa: PLW0603 - what was given out last
    with _lock:
        value = (now_ms() << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
        step = 1 + secrets.randbits(_RANDOM_BITS // 2)  # no neighbour can be guessed
        _last = value if value > _last else _last + step
        number = _last
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_ID_CHARS)))


def from_ms(moment_ms: int) -> datetime:
    """Return milliseconds since 1970 as an aware moment."""
    return _EPOCH + timedelta(milliseconds=moment_ms)


def to_ms(moment: datetime) -> int:
    """Return an aware moment as milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
