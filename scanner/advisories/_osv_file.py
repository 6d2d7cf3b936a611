"""Files of many OSV records.

Source: https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.advisories._feed_files import entries
from scanner.advisories.osv import parse_osv
from scanner.errors import InputError
from scanner.ports.feed import FeedFile, FeedItem, RefusedRecord


def parse_osv_file(file: FeedFile) -> Iterator[FeedItem]:
    """Yield the records of a zip, a tar or JSON lines; raises InputError for a broken archive."""
    for entry in entries(file):
        if isinstance(entry, RefusedRecord):
            yield entry
            continue
        try:
            yield parse_osv(entry.content, entry.name)
        except InputError as error:
            yield RefusedRecord(file.name, str(error)[:300])
