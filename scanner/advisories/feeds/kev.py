"""CISA's catalogue of vulnerabilities that are known to be exploited.

Source: https://www.cisa.gov/known-exploited-vulnerabilities-catalog
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from scanner.advisories._feed_files import decode, read_whole
from scanner.errors import MalformedFileError
from scanner.model.advisory import Enrichment
from scanner.ports.feed import Enriched, Feed, FeedFile, FeedItem

_DOCUMENT_BYTES: Final = 64 * 1024 * 1024


class _Vulnerability(msgspec.Struct, rename="camel"):
    cve_id: str = msgspec.field(name="cveID")


class _Catalogue(msgspec.Struct):
    vulnerabilities: list[_Vulnerability]
    count: int | None = None


def _parse(file: FeedFile) -> Iterator[FeedItem]:
    """Yield what is exploited; the catalogue's own count must be right."""
    catalogue = decode(read_whole(file, _DOCUMENT_BYTES), _Catalogue, file.name)
    if catalogue.count not in (None, len(catalogue.vulnerabilities)):
        raise MalformedFileError(file.name, "it does not hold as many as it says")
    for one in catalogue.vulnerabilities:
        yield Enriched(one.cve_id, Enrichment(known_exploited=True))


FEED: Final = Feed(
    name="kev",
    units=("kev",),
    url="https://www.cisa.gov/sites/default/files/feeds",
    files=lambda _unit: ("known_exploited_vulnerabilities.json",),
    parse=_parse,
    licence="CC0-1.0",
    attribution="CISA Known Exploited Vulnerabilities Catalog",
    summary="which vulnerabilities are known to be exploited",
)
