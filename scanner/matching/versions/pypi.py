"""Python's versions: ``[epoch!]release[pre][post][dev][+local]``.

Source: https://packaging.python.org/en/latest/specifications/version-specifiers/
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]*))?"
    r"(?P<post>-(?P<implied>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\Z",
    re.ASCII,
)
_PRE: Final = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_FIRST: Final = (-2, 0)
_LAST: Final = (3, 0)


def key(text: str) -> Any:
    """Return epoch, release without zeros at its end, and the four parts that may follow."""
    match = _VERSION.match(text.strip().lower())
    if match is None:
        return None
    numbers = [int(one) for one in match["release"].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    dev = int(match["dev_number"] or 0) if match["dev"] else None
    post = int(match["implied"] or match["post_number"] or 0) if match["post"] else -1
    behind = (dev if dev is not None else float("inf"), _local(match["local"]))
    return int(match["epoch"] or 0), tuple(numbers), _pre(match, post, dev), post, *behind


def _pre(match: re.Match[str], post: int, dev: int | None) -> tuple[int, int]:
    """Return the place of the pre-release; a bare dev release sorts before all of them."""
    if match["pre"]:
        return _PRE[match["pre"]], int(match["pre_number"] or 0)
    return _FIRST if dev is not None and post < 0 else _LAST


def _local(text: str | None) -> tuple[tuple[int, Any], ...]:
    parts = re.split(r"[-_.]", text) if text else []
    return tuple((1, int(one)) if one.isdecimal() else (0, one) for one in parts)


SCHEME: Final = VersionScheme("pypi", ("pypi",), key)
