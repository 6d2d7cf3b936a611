"""Ubuntu's security data in the OSV format: every vulnerability and notice, fixed or not.

Source: https://documentation.ubuntu.com/security/security-updates/osv/
"""

from __future__ import annotations

from typing import Final

from scanner.advisories._osv_file import parse_osv_file
from scanner.ports.feed import Feed

FEED: Final = Feed(
    name="ubuntu-osv",
    units=("Ubuntu",),
    url="https://security-metadata.canonical.com",
    files=lambda _unit: ("osv/osv-all.tar.xz",),
    parse=parse_osv_file,
    licence="CC-BY-SA-4.0",
    attribution="Ubuntu security data, (c) Canonical Ltd.",
    summary="vulnerabilities and notices of Ubuntu's releases, ESM included",
)
