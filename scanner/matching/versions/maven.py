"""Maven's versions: numbers and qualifiers between dots and hyphens, both of any number.

Source: https://maven.apache.org/pom.html#version-order-specification
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from scanner.ports import VersionScheme

Token: TypeAlias = tuple[str, "int | str"]
"""Separator before it, and a number or qualifier."""

_VERSION: Final = re.compile(r"[0-9A-Za-z._+-]+\Z")
_PART: Final = re.compile(r"([._-]?)([0-9]+|[^0-9._-]+|)")
_KNOWN: Final = ("alpha", "beta", "milestone", "rc", "snapshot", "", "sp")
_ALIASES: Final = {"cr": "rc", "ga": "", "final": "", "release": ""}
_SHORT: Final = {"a": "alpha", "b": "beta", "m": "milestone"}
_NULLS: Final = (0, "")


def key(text: str) -> Any:
    """Return something that compares as Maven's resolver does."""
    return cmp_to_key(_compare)(_trimmed(_tokens(text.lower()))) if _VERSION.match(text) else None


def _tokens(text: str) -> list[Token]:
    """Return the parts; where digits and letters meet there is a hyphen, and nothing between two separators is 0."""
    found: list[Token] = []
    parts = [m for m in _PART.findall(text) if any(m)]
    for place, (separator, value) in enumerate(parts):
        following = parts[place + 1] if place + 1 < len(parts) else ("-", "")
        is_before_number = not following[0] and following[1].isdecimal()
        between = ("." if separator == "_" else separator) or ("-" if found else "")
        found.append((between, _value(value, is_before_number=is_before_number)))
    return found


def _value(text: str, *, is_before_number: bool) -> int | str:
    if not text or text.isdecimal():
        return int(text or 0)
    if is_before_number:
        text = _SHORT.get(text, text)
    return _ALIASES.get(text, text)


def _trimmed(tokens: list[Token]) -> list[Token]:
    """Return the tokens without those that say nothing, at the end and before each hyphen."""
    kept: list[Token] = []
    for separator, value in tokens:
        if separator == "-":
            while kept and kept[-1][1] in _NULLS:
                kept.pop()
        kept.append((separator, value))
    while kept and kept[-1][1] in _NULLS:
        kept.pop()
    return kept


def _compare(left: list[Token], right: list[Token]) -> int:
    for one, other in zip_longest(left, right):
        a, b = _rank(one or _padding(other)), _rank(other or _padding(one))
        if a != b:
            return -1 if a < b else 1
    return 0


def _padding(token: Token) -> Token:
    """Return what stands for a missing token beside ``token``."""
    return (token[0], 0) if token[0] == "." and isinstance(token[1], int) else (token[0], "")


def _rank(token: Token) -> tuple[int, int, str]:
    """``.qualifier`` and ``-qualifier`` sort before ``-number``, and that before ``.number``."""
    separator, value = token
    if isinstance(value, int):
        return (2 if separator == "-" else 3), value, ""
    if value in _KNOWN:
        return 0, _KNOWN.index(value), ""
    return 1, 0, value


SCHEME: Final = VersionScheme("maven", ("maven",), key)
