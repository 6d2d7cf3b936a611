"""EPSS: how probable it is that a vulnerability is exploited within 30 days.

Source: https://www.first.org/epss/data_stats
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.advisories._feed_files import entries
from scanner.errors import MalformedFileError
from scanner.model.advisory import Enrichment
from scanner.ports.feed import Enriched, Feed, FeedFile, FeedItem, RefusedRecord

_HEADER: Final = b"cve,epss,percentile"


def _parse(file: FeedFile) -> Iterator[FeedItem]:
    """Yield a probability for each line; comments come first, then the names of the columns."""
    is_begun = False
    for entry in entries(file):
        if isinstance(entry, RefusedRecord):
            yield entry
        elif is_begun:
            yield _line(entry.content, entry.name)
        elif entry.content.strip() == _HEADER:
            is_begun = True
        elif not entry.content.startswith(b"#"):
            break
    if not is_begun:
        raise MalformedFileError(file.name, "no line 'cve,epss,percentile'")


def _line(line: bytes, where: str) -> Enriched | RefusedRecord:
    id_, _, rest = line.decode("ascii", "replace").partition(",")
    try:
        probability = float(rest.partition(",")[0])
    except ValueError:
        probability = -1.0
    if not id_.startswith("CVE-") or not 0 <= probability <= 1:
        return RefusedRecord(where, "not an id and a probability")
    return Enriched(id_, Enrichment(exploit_probability=probability))


FEED: Final = Feed(
    name="epss",
    units=("epss",),
    url="https://epss.cyentia.com",
    files=lambda _unit: ("epss_scores-current.csv.gz",),
    parse=_parse,
    licence="no licence text; free to use with attribution",
    attribution="EPSS scores by FIRST.org and Cyentia: https://www.first.org/epss",
    summary="how probable it is that a vulnerability is exploited within 30 days",
)
