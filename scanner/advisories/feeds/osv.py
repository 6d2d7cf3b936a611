"""osv.dev: every ecosystem's advisories in one form, a zip for each.

Source: https://google.github.io/osv.dev/data/#data-dumps
"""

from __future__ import annotations

from typing import Final

from scanner.advisories._osv_file import parse_osv_file
from scanner.ports.feed import Feed

_LAST: Final = 10


FEED: Final = Feed(
    name="osv",
    order=_LAST,
    url="https://storage.googleapis.com/osv-vulnerabilities",
    files=lambda unit: (f"{unit}/all.zip",),
    parse=parse_osv_file,
    licence="by record: CC-BY-4.0 (GitHub, PyPA, Go), CC0-1.0 (RustSec), MIT (AlmaLinux) and others",
    attribution="OSV.dev and the databases it collects: https://google.github.io/osv.dev/data/",
    summary="advisories of any ecosystem in the OSV format",
)
