"""What the ecosystems that count in semantic versions share: the parts of one, and their order.

Source: https://semver.org/spec/v2.0.0.html
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

_VERSION: Final = re.compile(
    r"[vV]?(?P<numbers>[0-9]+(?:\.[0-9]+){0,3})(?:-(?P<before>[0-9A-Za-z.-]+))?"
    r"(?:\+(?P<build>[0-9A-Za-z.-]+))?\Z"
)
_NUMBERS_COUNT: Final = 4


class Parts(NamedTuple):
    """A version, each part as something that compares."""

    numbers: tuple[int, ...]
    """Filled up with zeros."""
    before: tuple[Any, ...]
    """What makes it a pre-release; what has none sorts behind those that have."""
    build: tuple[Any, ...]


def parts_of(text: str) -> Parts | None:
    """Return the parts of ``1.2.3-rc.1+build``, also with a ``v`` in front, or one to four numbers."""
    match = _VERSION.match(text)
    if match is None:
        return None
    numbers = [int(one) for one in match["numbers"].split(".")]
    numbers += [0] * (_NUMBERS_COUNT - len(numbers))
    before, build = match["before"], match["build"]
    return Parts(
        tuple(numbers),
        (0, *_identifiers(before)) if before else (1,),
        _identifiers(build) if build else (),
    )


def precedence(text: str) -> Any:
    """Return what compares as the specification says, where the build does not count; None for no version."""
    parts = parts_of(text)
    return parts and parts[:2]


def _identifiers(text: str) -> tuple[tuple[int, Any], ...]:
    """Numbers sort before words."""
    return tuple((0, int(one)) if one.isdecimal() else (1, one) for one in text.split("."))
