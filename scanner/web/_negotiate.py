"""Which form of an answer a client wants, and whether it has it already.

Source: https://www.rfc-editor.org/rfc/rfc9110
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

_PARTS_COUNT: Final = 32


def choose(accept: str, offers: Sequence[str]) -> str | None:
    """Return the media type among ``offers`` that ``Accept`` likes best, the earlier one among equals.

    Everything is liked where the header is missing. None: it likes no offer.
    """
    if not accept.strip():
        return offers[0]
    wanted = [_range(part) for part in accept.split(",")[:_PARTS_COUNT]]
    liked = [(_quality(offer, wanted), -place, offer) for place, offer in enumerate(offers)]
    best = max(liked)
    return best[2] if best[0] > 0 else None


def _range(part: str) -> tuple[str, float]:
    media_type, *parameters = (one.strip().lower() for one in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
            return media_type, quality if 0 <= quality <= 1 else 0.0
    return media_type, 1.0


def _quality(offer: str, wanted: Sequence[tuple[str, float]]) -> float:
    """Return how much an offer is liked: what names it most exactly decides."""
    for pattern in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        for media_type, quality in wanted:
            if media_type == pattern:
                return quality
    return 0.0


def etag_of(*parts: str | bytes) -> str:
    """Return an entity tag that differs whenever a part does."""
    state = hashlib.blake2b(digest_size=12)
    for part in parts:
        state.update(part.encode() if isinstance(part, str) else part)
        state.update(b"\0")
    return f'"{state.hexdigest()}"'


def is_known(if_none_match: str, etag: str) -> bool:
    """Return whether the client has the answer with this tag already."""
    if not if_none_match:
        return False
    shown = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in shown or "*" in shown
