"""The security database of Chainguard.

Source: https://packages.cgr.dev/chainguard/security.json
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.advisories._secdb import parse_secdb
from scanner.ports.feed import Feed, FeedFile, FeedItem


def _parse(file: FeedFile) -> Iterator[FeedItem]:
    return parse_secdb(file, prefix="CHAINGUARD-")


FEED: Final = Feed(
    name="chainguard-secdb",
    units=("Chainguard",),
    url="https://packages.cgr.dev",
    files=lambda _unit: ("chainguard/security.json",),
    parse=_parse,
    licence="Apache-2.0",
    attribution="Chainguard security database, (c) Chainguard, Inc.",
    summary="fixed versions of Chainguard packages",
)
