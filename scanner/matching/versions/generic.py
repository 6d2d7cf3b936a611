"""Versions of programs that follow no ecosystem's rules: numbers and words; ``alpha``, ``beta``, ``rc`` … sort before the end.

Source: https://github.com/package-url/purl-spec/blob/main/types/generic-definition.json
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(r"v?[0-9][0-9A-Za-z.+_~:-]*\Z")
_PART: Final = re.compile(r"[0-9]+|[a-z]+")
_EARLY: Final = ("dev", "snapshot", "alpha", "a", "beta", "b", "milestone", "m", "pre", "preview", "rc", "ea")  # fmt: skip
_BEFORE_END, _END, _WORD, _NUMBER = range(4)


def key(text: str) -> Any:
    """Return the parts as something that compares; zeros at the end of the leading numbers say nothing."""
    if not _VERSION.match(text):
        return None
    parts = _PART.findall(text.lower().removeprefix("v"))
    leading = next((n for n, one in enumerate(parts) if not one.isdecimal()), len(parts))
    numbers, others = parts[:leading], parts[leading:]
    while numbers and not numbers[-1].strip("0"):
        numbers.pop()
    return (*(_ranked(one) for one in (*numbers, *others)), (_END, 0))


def _ranked(part: str) -> tuple[int, Any]:
    if part.isdecimal():
        return _NUMBER, int(part)
    return (_BEFORE_END, _EARLY.index(part)) if part in _EARLY else (_WORD, part)


SCHEME: Final = VersionScheme("generic", ("generic", "github", "bitnami"), key)
