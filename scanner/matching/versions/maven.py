"""Maven's versions: numbers and qualifiers, both of any number; each hyphen, and each place where digits meet letters, begins a list within the list.

Source: https://maven.apache.org/pom.html#version-order-specification
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from scanner.ports.version import VersionScheme

Item: TypeAlias = "int | str | list[Item]"

_VERSION: Final = re.compile(r"[0-9A-Za-z._+-]+\Z")
_PART: Final = re.compile(r"[0-9]+|[^0-9.-]+|[.-]")
_DEPTH: Final = 64
"""Lists within lists; real versions have three."""
_KNOWN: Final = ("alpha", "beta", "milestone", "rc", "snapshot", "", "sp")
_RELEASE: Final = _KNOWN.index("")
_ALIASES: Final = {"cr": "rc", "ga": "", "final": "", "release": ""}
_SHORT: Final = {"a": "alpha", "b": "beta", "m": "milestone"}


def key(text: str) -> Any:
    """Return something that compares as Maven's ComparableVersion does."""
    if not _VERSION.match(text):
        return None
    lists = _lists(_PART.findall(text.lower()))
    if len(lists) > _DEPTH:
        return None
    for one in reversed(lists):
        _trim(one)
    return cmp_to_key(_compare_lists)(lists[0])


def _lists(parts: list[str]) -> list[list[Item]]:
    """Return the lists, each but the first the last item of the one before it."""
    lists: list[list[Item]] = [[]]
    is_open = True  # a separator that follows on another has an empty part before it, which is 0
    for place, part in enumerate(parts):
        following = parts[place + 1] if place + 1 < len(parts) else ""
        if part in ".-":
            if is_open:
                lists[-1].append(0)
            is_open = True
            if part == "-":
                _begin(lists)
            continue
        if not part.isdecimal() and lists[-1] and following not in (".", "-"):
            _begin(lists)  # 1.rc1 and 1.rc are what 1-rc1 and 1-rc are
        lists[-1].append(int(part) if part.isdecimal() else _qualifier(part, following))
        is_open = False
        if following not in ("", ".", "-"):
            _begin(lists)
    return lists


def _begin(lists: list[list[Item]]) -> None:
    begun: list[Item] = []
    lists[-1].append(begun)
    lists.append(begun)


def _qualifier(text: str, following: str) -> str:
    if following.isdecimal():
        text = _SHORT.get(text, text)
    return _ALIASES.get(text, text)


def _trim(items: list[Item]) -> None:
    """Take away what says nothing, from the end to the first item that does; lists are passed over."""
    for place in reversed(range(len(items))):
        if items[place] in (0, "", []):
            del items[place]
        elif not isinstance(items[place], list):
            break


def _compare_lists(left: list[Item], right: list[Item]) -> int:
    for one, other in zip_longest(left, right):
        if sign := _compare_with_none(one, other) if None in (one, other) else _compare(one, other):
            return sign
    return 0


def _compare_with_none(one: Item | None, other: Item | None) -> int:
    if one is None:
        return 0 if other is None else -_compare_with_none(other, None)
    if isinstance(one, list):
        return next((sign for item in one if (sign := _compare_with_none(item, None))), 0)
    if isinstance(one, int):
        return 1 if one else 0
    return _sign(_rank(one), (_RELEASE, ""))


def _compare(one: Item, other: Item) -> int:
    """A qualifier sorts before a list, and that before a number."""
    if isinstance(one, list) and isinstance(other, list):
        return _compare_lists(one, other)
    return _sign(_order(one), _order(other))


def _order(item: Item) -> tuple[int, Any]:
    if isinstance(item, list):
        return 1, 0
    return (2, item) if isinstance(item, int) else (0, _rank(item))


def _rank(qualifier: str) -> tuple[int, str]:
    known = qualifier in _KNOWN
    return (_KNOWN.index(qualifier), "") if known else (len(_KNOWN), qualifier)


def _sign(one: tuple[int, Any], other: tuple[int, Any]) -> int:
    return int(one > other) - int(one < other)


SCHEME: Final = VersionScheme("maven", ("maven",), key)
