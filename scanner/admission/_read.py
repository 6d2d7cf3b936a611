"""Checked reads for protocols: untrusted bytes in, typed values or an InputError out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from scanner.decoding import decode_json
from scanner.errors import LimitExceededError, MalformedEventError

IMAGES_COUNT: Final = 256
"""Images in one question; the largest pods have some dozens."""
_REASON_LENGTH: Final = 200

S = TypeVar("S", bound=msgspec.Struct)


def malformed(reason: str) -> MalformedEventError:
    """Return the error for a question that is not what its caller asks."""
    shown = "".join(c if c.isprintable() else "?" for c in reason[:_REASON_LENGTH])
    return MalformedEventError("admission request", shown)


def read(body: bytes, kind: type[S]) -> S:
    """Return the body's JSON as the struct it should be.

    Raises:
        MalformedEventError: not UTF-8, not JSON, nested too deep, or of another form.
    """
    try:
        return decode_json(body, kind)
    except RecursionError as error:
        raise malformed("nested too deep") from error
    except (msgspec.MsgspecError, ValueError) as error:  # Unicode's errors are ValueErrors
        raise malformed(str(error)) from error


def require_kind(got: tuple[str, str], wanted: tuple[str, str]) -> None:
    """Return if ``apiVersion`` and ``kind`` are those of the protocol; raises MalformedEventError otherwise."""
    if got != wanted:
        shown = " ".join(text[:60] or "nothing" for text in got)
        raise malformed(f"expected {' '.join(wanted)}, got {shown}")


def distinct(images: Iterable[str]) -> tuple[str, ...]:
    """Return each image once, in order.

    Raises:
        LimitExceededError: ``images_count``.
    """
    found = tuple(dict.fromkeys(images))
    if len(found) > IMAGES_COUNT:
        raise LimitExceededError("images_count", IMAGES_COUNT, len(found), setting=False)
    return found
