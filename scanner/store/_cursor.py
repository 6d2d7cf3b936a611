"""Cursors: where a page ended, as a text that is only good to be handed back."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from scanner.decoding import decode_json
from scanner.errors import InvalidReferenceError
from scanner.ports.service import Page

_Item = TypeVar("_Item")
_Row = TypeVar("_Row")

Id = Annotated[str, msgspec.Meta(pattern="^[0-9A-Z]{26}\\Z")]
"""Of a row; SQLite's and PostgreSQL's order of these is the same."""
Key = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Position = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

_LONGEST: Final = 200
_MOST: Final = 1_000


def write_cursor(kind: str, *parts: object) -> str:
    """Return a cursor; ``kind`` tells those of one listing from another's."""
    return base64.urlsafe_b64encode(msgspec.json.encode([kind, *parts])).decode().rstrip("=")


def read_cursor(text: str, kind: str, shape: Any) -> tuple[Any, ...] | None:
    """Return a cursor's parts, ``kind`` first; None for the empty one, with which a listing begins.

    ``shape`` is the type of the parts as a tuple.

    Raises:
        InvalidReferenceError: it was not made by :func:`write_cursor` for this listing.
    """
    if not text:
        return None
    parts = _decoded(text, shape) if len(text) <= _LONGEST else None
    if parts is None or parts[0] != kind:
        raise InvalidReferenceError(text[:_LONGEST], "not a cursor of this listing")
    return parts


def _decoded(text: str, shape: Any) -> tuple[Any, ...] | None:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        parts: tuple[Any, ...] = decode_json(raw, shape)
    except (ValueError, msgspec.MsgspecError):  # binascii's and Unicode's errors are ValueErrors
        return None
    return parts


def page_of(
    rows: Sequence[_Row],
    limit: int,
    item: Callable[[_Row], _Item],
    cursor: Callable[[_Row], str],
) -> Page[_Item]:
    """Return a page from one row more than it holds, or fewer rows if it is the last."""
    shown = rows[:limit]
    return Page(
        items=tuple(item(row) for row in shown),
        next=cursor(shown[-1]) if len(rows) > limit else "",
    )


def bounded(limit: int) -> int:
    """Return how many items a page has: 1 to 1,000."""
    return max(1, min(limit, _MOST))
