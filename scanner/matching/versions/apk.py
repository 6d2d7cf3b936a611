"""Alpine's versions: ``1.2.3a_rc1-r4``.

Source: https://gitlab.alpinelinux.org/alpine/apk-tools/-/blob/master/doc/apk-package.5.scd
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(
    r"(?P<numbers>[0-9]+(?:\.[0-9]+)*)(?P<letter>[a-z]?)"
    r"(?P<suffixes>(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*)"
    r"(?:~(?P<commit>[0-9a-f]+))?(?:-r(?P<revision>[0-9]+))?\Z"
)
_SUFFIX: Final = re.compile(r"_([a-z]+)([0-9]*)")
_BEFORE: Final = ("alpha", "beta", "pre", "rc")
_AFTER: Final = ("cvs", "svn", "git", "hg", "p")
_BEFORE_END, _END, _REVISION, _COMMIT, _SUFFIX_NUMBER, _AFTER_END, _LETTER, _NUMBER = range(8)


def key(text: str) -> Any:
    """Return one pair per part; where versions part ways, the kind of part decides first."""
    match = _VERSION.match(text)
    if match is None:
        return None
    first, *others = match["numbers"].split(".")
    found: list[tuple[int, Any]] = [(_NUMBER, (1, int(first)))]
    found += [(_NUMBER, _number(one)) for one in others]
    if match["letter"]:
        found.append((_LETTER, match["letter"]))
    for name, number in _SUFFIX.findall(match["suffixes"]):
        is_before = name in _BEFORE
        order = _BEFORE if is_before else _AFTER
        found.append((_BEFORE_END if is_before else _AFTER_END, order.index(name)))
        if number:
            found.append((_SUFFIX_NUMBER, int(number)))
    if match["commit"]:
        found.append((_COMMIT, match["commit"]))
    if match["revision"]:
        found.append((_REVISION, int(match["revision"])))
    return (*found, (_END, 0))


def _number(digits: str) -> tuple[int, Any]:
    """A number with leading zeros is the digits of a fraction, and compares as text."""
    return (0, digits) if digits.startswith("0") else (1, int(digits))


SCHEME: Final = VersionScheme("apk", ("apk",), key)
