"""Composer's versions: up to four numbers, then how stable it is (``-beta2``, ``RC1``, ``-p1``), then ``-dev``.

Branches (``dev-main``, ``1.x-dev``) have no place in the order.

Source: https://getcomposer.org/doc/articles/versions.md, https://www.php.net/version_compare
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(
    r"v?(?P<numbers>[0-9]+(?:\.[0-9]+){0,3})"
    r"(?:[._-]?(?P<word>stable|beta|b|rc|alpha|a|patch|pl|p)(?P<count>(?:[.-]?[0-9]+)*))?"
    r"(?P<dev>[.-]?dev)?(?:\+[0-9a-z.-]+)?\Z"
)
_NUMBERS_COUNT: Final = 4
_DEV, _ALPHA, _BETA, _CANDIDATE, _STABLE, _PATCH = range(6)
_WORDS: Final = {"alpha": _ALPHA, "a": _ALPHA, "beta": _BETA, "b": _BETA, "rc": _CANDIDATE}
_BEFORE_END, _END, _NUMBER = range(3)


def key(text: str) -> Any:
    """Return four numbers, the stability, and the numbers behind it; ``-dev`` sorts before the same without."""
    match = _VERSION.match(text.strip().lower())
    if match is None:
        return None
    numbers = [int(one) for one in match["numbers"].split(".")]
    numbers += [0] * (_NUMBERS_COUNT - len(numbers))
    word = match["word"]
    stability = _WORDS.get(word, _PATCH) if word and word != "stable" else _STABLE
    if stability is _STABLE:  # its own numbers say nothing
        return tuple(numbers), _DEV if match["dev"] else _STABLE, ()
    counts = [(_NUMBER, int(one)) for one in re.findall(r"[0-9]+", match["count"])]
    return tuple(numbers), stability, (*counts, (_BEFORE_END if match["dev"] else _END, 0))


SCHEME: Final = VersionScheme("composer", ("composer",), key)
