"""Semantic versions, and those of ecosystems that count as they do: with a ``v`` in front, or with fewer numbers.

Source: https://semver.org/spec/v2.0.0.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports import VersionScheme

_VERSION: Final = re.compile(
    r"[vV]?(?P<numbers>[0-9]+(?:\.[0-9]+){0,3})(?:-(?P<before>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z"
)
_NUMBERS_COUNT: Final = 4


def key(text: str) -> Any:
    """Return the numbers, filled up with zeros, and what makes it a pre-release; the build does not count."""
    match = _VERSION.match(text)
    if match is None:
        return None
    numbers = [int(one) for one in match["numbers"].split(".")]
    numbers += [0] * (_NUMBERS_COUNT - len(numbers))
    before = match["before"]
    # What has no pre-release sorts behind those that have.
    return numbers, (0, *map(_identifier, before.split("."))) if before else (1,)


def _identifier(text: str) -> tuple[int, Any]:
    return (0, int(text)) if text.isdecimal() else (1, text)


SCHEME: Final = VersionScheme("semver", ("npm", "cargo", "golang", "hex", "pub", "swift"), key)
