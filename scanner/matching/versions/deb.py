"""Debian's versions: ``[epoch:]upstream[-revision]``.

Source: https://www.debian.org/doc/debian-policy/ch-controlfields.html#version
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(
    r"(?:(?P<epoch>[0-9]{1,9}):)?(?P<upstream>[0-9A-Za-z](?(epoch)[0-9A-Za-z.+~:-]|[0-9A-Za-z.+~-])*?)"
    r"(?:-(?P<revision>[0-9A-Za-z.+~]+))?\Z"
)
_PART: Final = re.compile(r"([^0-9]*)([0-9]*)")
_NOT_LETTER: Final = 256


def key(text: str) -> Any:
    """Return epoch, upstream version and revision, each as something that compares."""
    match = _VERSION.match(text)
    if match is None or (match["revision"] is None and "-" in match["upstream"]):
        return None
    # No revision is the revision 0.
    parts = _parts(match["upstream"]), _parts(match["revision"] or "0")
    return int(match["epoch"] or 0), *parts


def _parts(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Return pairs of text and number; the last, empty one is what a tilde sorts before."""
    return tuple(
        ((*map(_rank, other), 0), int(digits or 0)) for other, digits in _PART.findall(text)
    )


def _rank(character: str) -> int:
    """A tilde sorts before the end (0), the end before letters, letters before everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + _NOT_LETTER


SCHEME: Final = VersionScheme("deb", ("deb",), key)
