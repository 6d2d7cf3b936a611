"""Conan's versions: numbers and words between dots, then ``-pre`` and ``+build``; zeros at the end say nothing.

Source: https://docs.conan.io/2/tutorial/versioning/version_ranges.html
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from scanner.ports.version import VersionScheme

Items: TypeAlias = "tuple[int | str, ...]"
Parts: TypeAlias = "tuple[Items, Items | None, Items | None]"
"""Main items, pre-release and build, the last two None where there are none."""

_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*\Z")
_REVISION: Final = re.compile(r"(?:@[^#]*)?(?:#[0-9a-f]*)?\Z")


def key(text: str) -> Any:
    """Return something that compares as Conan does, which compares a number with a word as texts."""
    text = _REVISION.sub("", text, count=1)
    if not _VERSION.match(text):
        return None
    rest, plus, build = text.rpartition("+")
    main, minus, before = (rest if plus else text).partition("-")
    return cmp_to_key(_compare)(
        (_items(main), _items(before) if minus else None, _items(build) if plus else None)
    )


def _items(text: str) -> Items:
    items: list[int | str] = [int(one) if one.isdecimal() else one for one in text.split(".")]
    while items and items[-1] == 0:
        items.pop()
    return tuple(items)


def _compare(left: Parts, right: Parts) -> int:
    """A pre-release sorts before its release, a build behind the same without."""
    (main, before, build), (other_main, other_before, other_build) = left, right
    return (
        _compare_items(main, other_main)
        or (before is None) - (other_before is None)
        or _compare_items(before or (), other_before or ())
        or (other_build is None) - (build is None)
        or _compare_items(build or (), other_build or ())
    )


def _compare_items(left: Items, right: Items) -> int:
    for one, other in zip_longest(left, right):
        if one == other:
            continue
        if one is None or other is None:
            return -1 if one is None else 1
        if isinstance(one, int) and isinstance(other, int):
            return -1 if one < other else 1
        if (a := str(one)) != (b := str(other)):
            return -1 if a < b else 1
    return 0


SCHEME: Final = VersionScheme("conan", ("conan",), key)
