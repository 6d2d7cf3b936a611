"""Globs that match in a time that grows with the text only, whatever the pattern.

``*`` and ``?`` stay within one part between slashes; ``**`` is any number of whole parts. Everything else is itself.
A star takes the first place where what follows it fits, and never comes back to it: that finds every match, as what
lies between two stars of a kind may as well be longer. Backtracking, which hostile patterns live on, is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

GLOB_LENGTH: Final = 512


def defect_of(glob: str) -> str:
    """Return what is wrong with a glob, or an empty text."""
    if any("**" in part and part != "**" for part in glob.split("/")):
        return f"{glob[:60]!r}: ** stands alone between slashes, as in a/**/b"
    return ""


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells whether a text is matched by any of the globs."""
    expression = re.compile("|".join(f"(?:{_expression(g)})" for g in globs), re.DOTALL)
    match = expression.match
    return lambda text: match(text) is not None


def _expression(glob: str) -> str:
    """Return the expression of a whole text."""
    first, *later = _runs(glob.split("/"))
    out = "/".join(map(_part, first))
    if not later:
        return rf"{out}\Z"
    if not later[-1]:  # it ends in **
        later.pop()
        if not later:
            return rf"{out}(?:/.*)?\Z" if first else r".*\Z"
        end = r"(?:/|\Z)"
    else:
        end = r"\Z"
    out += "/" if first else ""
    return out + "".join(_anywhere(run, "/") for run in later[:-1]) + _anywhere(later[-1], end)


def _runs(parts: list[str]) -> list[list[str]]:
    """Return the parts between ``**``; an empty run between two of them is left out."""
    runs: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            if len(runs) == 1 or runs[-1]:
                runs.append([])
        else:
            runs[-1].append(part)
    return runs


def _anywhere(run: list[str], end: str) -> str:
    """Return the first place, at the begin of a part, where a run fits and ``end`` follows."""
    return rf"(?>(?:[^/]*/)*?{'/'.join(map(_part, run))}{end})"


def _part(part: str) -> str:
    """Return the expression of one part, of which nothing but its end may follow."""
    first, *later = re.split(r"\*+", part)
    out = _literal(first)
    for number, text in enumerate(later, 1):
        if number < len(later):
            out += rf"(?>[^/]*?{_literal(text)})" if text else ""
        else:
            out += rf"(?>[^/]*?{_literal(text)}(?=/|\Z))" if text else "[^/]*+"
    return out


def _literal(text: str) -> str:
    return "".join("[^/]" if c == "?" else re.escape(c) for c in text)
