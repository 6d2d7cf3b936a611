"""The security database of Wolfi.

Source: https://packages.wolfi.dev/os/security.json
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.advisories._secdb import parse_secdb
from scanner.ports.feed import Feed, FeedFile, FeedItem


def _parse(file: FeedFile) -> Iterator[FeedItem]:
    return parse_secdb(file, prefix="WOLFI-")


FEED: Final = Feed(
    name="wolfi-secdb",
    units=("Wolfi",),
    url="https://packages.wolfi.dev",
    files=lambda _unit: ("os/security.json",),
    parse=_parse,
    licence="Apache-2.0",
    attribution="Wolfi security database, (c) Chainguard, Inc.",
    summary="fixed versions of Wolfi packages",
)
