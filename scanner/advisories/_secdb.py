"""What Alpine and those who share its format publish: fixed versions by package, and nothing that is not fixed.

Source: https://secdb.alpinelinux.org/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from scanner.advisories._feed_files import decode, read_whole
from scanner.model.advisory import (
    Advisory,
    Affected,
    AffectedRange,
    Event,
    EventKind,
    FixState,
)
from scanner.ports.feed import FeedFile, FeedItem, RefusedRecord

_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,15}(?:-[A-Za-z0-9_.]{1,40}){1,5}\Z")
_NEVER: Final = "0"


class _Package(msgspec.Struct):
    name: str
    secfixes: dict[str, list[str] | None] = {}


class _Entry(msgspec.Struct):
    pkg: _Package


class _Database(msgspec.Struct):
    packages: list[_Entry] | None = None
    reponame: Any = ""


def parse_secdb(file: FeedFile, *, prefix: str) -> Iterator[FeedItem]:
    """Yield an advisory for each package and id; ``prefix`` and the vulnerability's id make its own.

    Raises:
        MalformedFileError: not a secdb.
        LimitExceededError: longer than 256 MiB.
    """
    database = decode(read_whole(file, _DOCUMENT_BYTES), _Database, file.name)
    for entry in database.packages or ():
        yield from _package(file, entry.pkg, prefix)


def _package(file: FeedFile, package: _Package, prefix: str) -> Iterator[FeedItem]:
    fixes: dict[str, list[str]] = {}
    for version, ids in package.secfixes.items():
        for text in ids or ():
            words = text.split()
            found = [word for word in words if _ID.match(word)]
            if words and not found:
                yield RefusedRecord(f"{file.name}: {package.name[:100]}", f"no id: {text[:100]!r}")
            for one in found:
                fixes.setdefault(one, []).append(version)
    for id_, versions in fixes.items():
        yield Advisory(
            id=f"{prefix}{id_}",
            upstream=(id_,),
            affected=(_affected(file.unit, package.name, versions),),
        )


def _affected(ecosystem: str, name: str, versions: list[str]) -> Affected:
    """Return that everything before the latest of the fixes is affected: a first fix may have been half of one."""
    ranges = tuple(
        AffectedRange((Event(EventKind.INTRODUCED, "0"), Event(EventKind.FIXED, version)))
        for version in dict.fromkeys(versions)
        if version != _NEVER
    )
    return Affected(
        ecosystem=ecosystem,
        name=name,
        ranges=ranges,
        state=None if ranges else FixState.NOT_AFFECTED,
    )
