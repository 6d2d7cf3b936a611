"""What the report formats of other people's tools have in common."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TextIO
from urllib.parse import quote

import msgspec

from scanner.errors import InvalidReferenceError
from scanner.model import (
    Finding,
    ImageReport,
    Kind,
    Package,
    ScanReport,
    parse_reference,
)
from scanner.model.vulnerability import vulnerability_facts

TOOL: Final = "scanner"
_LICENSES: Final = (
    "0BSD AFL-2.1 AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-1.0 Artistic-2.0 "
    "BlueOak-1.0.0 BSD-1-Clause BSD-2-Clause BSD-3-Clause BSD-4-Clause BSL-1.0 bzip2-1.0.6 CC-BY-3.0 CC-BY-4.0 "
    "CC0-1.0 CDDL-1.0 CDDL-1.1 curl EPL-1.0 EPL-2.0 EUPL-1.2 FSFAP GFDL-1.3-only GPL-1.0-only GPL-1.0-or-later "
    "GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later HPND ICU IJG ISC LGPL-2.0-only LGPL-2.0-or-later "
    "LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-1.1 MPL-2.0 NCSA OFL-1.1 "
    "OpenSSL PHP-3.01 PostgreSQL PSF-2.0 Python-2.0 Ruby Sleepycat SSPL-1.0 TCL Unicode-3.0 Unlicense Vim W3C "
    "WTFPL X11 Zlib zlib-acknowledgement ZPL-2.1"
)
LICENSE_IDS: Final = frozenset(_LICENSES.split())
"""Common ids of the SPDX licence list; another text is passed on as what it is, a name."""

_NAMESPACE: Final = uuid.UUID("c8b6f1de-0f53-5d1c-9b3f-5a3c0a7a6a52")
_DRIVES_TERMINALS: Final = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
"""What JSON lets stand in a string, but a terminal acts on: C1 controls, changes of direction."""


def write_json(document: dict[str, Any], stream: TextIO) -> None:
    """Write plain values as indented JSON that a terminal shows as it is."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    stream.write(_DRIVES_TERMINALS.sub(lambda m: f"\\u{ord(m.group()):04x}", text))
    stream.write("\n")


def json_writer(
    document: Callable[[ScanReport], dict[str, Any]],
) -> Callable[[ScanReport, TextIO, bool, int], None]:
    """Return how a format writes what ``document`` makes of a report: without colour, whatever the width."""

    def write(report: ScanReport, stream: TextIO, _colour: bool, _width: int) -> None:  # noqa: FBT001
        write_json(document(report), stream)

    return write


def moment(at: datetime) -> str:
    """Return ``2026-01-02T03:04:05Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def started_at(report: ScanReport) -> datetime:
    """Return when the scan began."""
    return datetime.fromisoformat(report.started_at)


def finished_at(report: ScanReport) -> datetime:
    """Return when the scan ended, to the second."""
    return started_at(report) + timedelta(seconds=round(report.seconds))


def document_id(report: ScanReport) -> str:
    """Return a UUID: the same for the same report."""
    return str(uuid.uuid5(_NAMESPACE, f"{report.digest} {report.fingerprint} {report.started_at}"))


def name_of(report: ScanReport) -> str:
    """Return registry and repository, or whatever else was scanned."""
    try:
        return parse_reference(report.reference).name
    except InvalidReferenceError:
        return report.reference


def image_purl(name: str, digest: str, architecture: str = "") -> str:
    """Return ``pkg:oci/…`` of an image in a registry; empty if ``name`` is no name of one."""
    try:
        repository = parse_reference(f"{name}@{digest}").name
    except InvalidReferenceError:
        return ""
    where = f"repository_url={quote(repository, safe='')}"
    arch = f"arch={quote(architecture, safe='')}&" if architecture else ""
    return f"pkg:oci/{repository.rpartition('/')[2]}@{quote(digest, safe='')}?{arch}{where}"


def vulnerabilities(image: ImageReport) -> Iterator[Finding]:
    """Yield the findings that are known vulnerabilities of packages."""
    return (f for f in image.findings if f.kind is Kind.VULNERABILITY)


def vulnerability_id(finding: Finding) -> str:
    """Return ``CVE-…``, or whatever id the vulnerability has."""
    return vulnerability_facts(finding).id or finding.rule_id.rpartition("/")[2]


def unique_images(report: ScanReport) -> tuple[ImageReport, ...]:
    """Return the images, each once: an index may list one twice."""
    return tuple({image.digest: image for image in report.images}.values())


def is_index(report: ScanReport) -> bool:
    """Say whether the report is about an index, not about its one image."""
    return not (len(report.images) == 1 and report.images[0].digest == report.digest)


def package_ref(image: ImageReport, package: Package) -> str:
    """Return a name for a package that nothing else in the report has, and that stays from scan to scan."""
    parts = (image.digest, package.purl, package.path, package.layer)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def unique_packages(image: ImageReport) -> dict[str, Package]:
    """Return the packages by :func:`package_ref`, in their order."""
    return {package_ref(image, p): p for p in image.packages}


def refs_by_purl(packages: Mapping[str, Package]) -> dict[str, list[tuple[str, str]]]:
    """Return ref and path of the packages of each purl."""
    found: dict[str, list[tuple[str, str]]] = {}
    for ref, package in packages.items():
        found.setdefault(package.purl, []).append((ref, package.path))
    return found


def refs_of(finding: Finding, by_purl: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    """Return the refs of the packages a finding is about: those of its file, if they are told apart."""
    of_purl = by_purl.get(finding.package, [])
    of_path = [ref for ref, path in of_purl if path == finding.path]
    return of_path or [ref for ref, _ in of_purl]
