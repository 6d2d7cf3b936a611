"""Make what a scan found known: its digests, where they are, and what its tag led to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, select

from scanner.errors import InvalidReferenceError
from scanner.model import Reference, ScanReport, parse_reference
from scanner.store._dialect import clean
from scanner.store._image_rows import Contents
from scanner.store._images import is_written, prepare, write_report
from scanner.store._moments import now_ms, to_ms
from scanner.store._tables import TAGS
from scanner.store._tags import ask_tags, record_tag
from scanner.store._transactions import transact

_LAYOUTS: Final = ("oci:", "oci-archive:")
_NO_DIGESTS: Final = ("docker-archive:", "dir:")
"""Sources whose images have no digest by which a registry would know them."""


def record_scan(
    connection: Connection,
    report: ScanReport,
    *,
    at_ms: int,
    registry: str = "",
    repository: str = "",
    tag: str = "",
    resolved_at_ms: int = 0,
    is_whole: bool = True,
    contents: Mapping[str, Contents] | None = None,
) -> None:
    """Write a report in the caller's transaction; see :func:`scanner.store._images.write_report`.

    ``tag`` is given if the scan asked the registry what it leads to, at ``resolved_at_ms`` or later.
    """
    write_report(
        connection,
        report,
        at_ms=at_ms,
        registry=registry,
        repository=repository,
        is_whole=is_whole,
        contents=contents,
    )
    if tag:
        _record_tag(connection, (registry, repository, tag), report.digest, resolved_at_ms)


def _record_tag(
    connection: Connection, tag: tuple[str, str, str], digest: str, resolved_at_ms: int
) -> None:
    names = zip((TAGS.c.registry, TAGS.c.repository, TAGS.c.tag), tag, strict=True)
    current = select(TAGS.c.digest, TAGS.c.seen_at).where(
        *(column == clean(value) for column, value in names), TAGS.c.replaced_at.is_(None)
    )
    row = connection.execute(current).first()
    if row is None or row.seen_at <= resolved_at_ms:
        record_tag(connection, *tag, digest)
    elif (
        row.digest != digest
    ):  # somebody asked after this scan did: which is newer, the registry knows
        ask_tags(connection, [tag])


def record_own(engine: Engine, report: ScanReport, *, is_whole: bool) -> None:
    """Write the report of a scan that nobody queued: where it was, its own reference says."""
    with engine.connect() as connection:
        contents = None if is_written(connection, report) else prepare(report)
    place = _place_of(report)
    transact(
        engine,
        record_scan,
        report,
        at_ms=now_ms(),
        registry=place.registry if place else "",
        repository=place.repository if place else "",
        tag=place.tag if place and not place.digest else "",
        resolved_at_ms=to_ms(datetime.fromisoformat(report.started_at)),
        is_whole=is_whole,
        contents=contents,
    )


def _place_of(report: ScanReport) -> Reference | None:
    """Return where a scanned image can be pulled from, None for a layout on disk."""
    if report.reference.startswith(_LAYOUTS):
        return None
    try:
        return parse_reference(report.reference)
    except InvalidReferenceError:
        return None


def has_digests(report: ScanReport) -> bool:
    """Whether the digests of a report are those that a registry knows its images by."""
    return not report.reference.startswith(_NO_DIGESTS)
