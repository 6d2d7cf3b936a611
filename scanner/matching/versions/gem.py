"""RubyGems' versions: numbers and words between dots; a word makes it a pre-release.

Source: https://docs.ruby-lang.org/en/3.4/Gem/Version.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9a-zA-Z]+)*(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\Z")
_SEGMENT: Final = re.compile(r"[0-9]+|[A-Za-z]+")
_WORD, _END, _NUMBER = -1, 0, 1


def key(text: str) -> Any:
    """Return the segments that are not 0, each with how many zeros are before it; behind the end are zeros without end."""
    text = text.strip()
    if not _VERSION.match(text):
        return None
    segments = _SEGMENT.findall(text.replace("-", ".pre."))
    first_word = next((n for n, one in enumerate(segments) if one.isalpha()), len(segments))
    found: list[tuple[int, ...] | tuple[int, int, str]] = []
    zeros_count = 0
    for place, segment in enumerate(segments):
        if place == first_word:
            zeros_count = 0  # those at the end of the numbers say nothing
        if segment.isalpha():
            found.append((_WORD, zeros_count, segment))
        elif number := int(segment):
            found.append((_NUMBER, -zeros_count, number))
        else:
            zeros_count += 1
            continue
        zeros_count = 0
    return (*found, (_END,))


SCHEME: Final = VersionScheme("gem", ("gem",), key)
