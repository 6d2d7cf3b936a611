"""RubyGems' versions: numbers and words between dots; a word makes it a pre-release.

Source: https://docs.ruby-lang.org/en/3.4/Gem/Version.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports import VersionScheme

_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9a-zA-Z]+)*(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\Z")
_SEGMENT: Final = re.compile(r"[0-9]+|[A-Za-z]+")
_END: Final = (1, -1)


def key(text: str) -> Any:
    """Return the segments without the zeros that say nothing; words sort before the end, numbers behind it."""
    text = text.strip()
    if not _VERSION.match(text):
        return None
    segments = _SEGMENT.findall(text.replace("-", ".pre."))
    first_word = next((n for n, one in enumerate(segments) if one.isalpha()), len(segments))
    parts = (segments[:first_word], segments[first_word:])
    return (*(_ranked(one) for part in parts for one in _without_zeros(part)), _END)


def _without_zeros(segments: list[str]) -> list[str]:
    while segments and not segments[-1].strip("0"):
        segments = segments[:-1]
    return segments


def _ranked(segment: str) -> tuple[int, Any]:
    return (1, int(segment)) if segment.isdecimal() else (0, segment)


SCHEME: Final = VersionScheme("gem", ("gem",), key)
