"""Alpine's security database: one file for each branch and repository.

Source: https://secdb.alpinelinux.org/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.advisories._secdb import parse_secdb
from scanner.ports.feed import Feed, FeedFile, FeedItem


def _files(unit: str) -> tuple[str, ...]:
    branch = unit.partition(":")[2]
    return f"{branch}/main.json", f"{branch}/community.json"


def _parse(file: FeedFile) -> Iterator[FeedItem]:
    return parse_secdb(file, prefix="ALPINE-")


FEED: Final = Feed(
    name="alpine-secdb",
    units=("Alpine",),
    per_release=True,
    url="https://secdb.alpinelinux.org",
    files=_files,
    parse=_parse,
    licence="CC-BY-SA-4.0",
    attribution="Alpine Linux security database, (c) Alpine Linux developers",
    summary="fixed versions of Alpine packages, by branch",
)
