"""RPM's versions: ``[epoch:]version[-release]``; no epoch is the epoch 0. Package URLs keep the epoch apart.

Source: https://rpm.org/docs/latest/man/rpm-version.7
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(
    r"(?:(?P<epoch>[0-9]{1,10}):)?(?P<version>[0-9A-Za-z._+~^]+)(?:-(?P<release>[0-9A-Za-z._+~^]+))?\Z"
)
_SEGMENT: Final = re.compile(r"~|\^|[0-9]+|[A-Za-z]+")
_TILDE, _END, _CARET, _LETTERS, _NUMBER = range(5)


def key(text: str) -> Any:
    """Return epoch, version and release as something that compares; no release sorts before every one."""
    match = _VERSION.match(text)
    if match is None:
        return None
    parts = _segments(match["version"]), _segments(match["release"] or "")
    return int(match["epoch"] or 0), *parts


def _segments(text: str) -> tuple[tuple[int, Any], ...]:
    return (*(_segment(one) for one in _SEGMENT.findall(text)), (_END, 0))


def _segment(text: str) -> tuple[int, Any]:
    if text.isdecimal():
        return _NUMBER, int(text)
    if text == "~":
        return _TILDE, 0
    return (_CARET, 0) if text == "^" else (_LETTERS, text)


SCHEME: Final = VersionScheme("rpm", ("rpm",), key)
