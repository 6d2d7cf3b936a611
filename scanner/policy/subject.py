"""What a policy judges: an image or an index, what a scan saw of it, and what is known besides."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import msgspec

from scanner.errors import InvalidReferenceError
from scanner.model import FileIssue, ImageReport, ScanReport, parse_reference
from scanner.model.freshness import advisories_checked_at
from scanner.model.vulnerability import parse_moment

_STARTS_CONTAINER: Final = re.compile(r"(?:\A|#\(nop\)\s+)(?:CMD|ENTRYPOINT)\b")


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One digest and its facts. Nothing known is nothing said: no images means not scanned."""

    digest: str
    """Of what was asked for: an index or an image."""
    name: str = ""
    """``registry/repository``; empty if unknown, which no glob matches."""
    tag: str = ""
    namespace: str = ""
    """Of the cluster that asks; empty if none does."""
    images: tuple[ImageReport, ...] = ()
    """An index's images, or the only one."""
    skipped: tuple[FileIssue, ...] = ()
    """Entries of the index that were not scanned, and why."""
    scanned_at: datetime | None = None
    advisories_at: datetime | None = None
    """When the advisories that packages were compared with were fetched; None: they were not compared."""
    signed_by: tuple[str, ...] = ()
    """Ids of the keys whose signature on the digest was verified."""


def subject_of(
    report: ScanReport,
    *,
    namespace: str = "",
    scanned_at: datetime | None = None,
    advisories_at: datetime | None = None,
    signed_by: tuple[str, ...] = (),
) -> Subject:
    """Return what a report says, for a policy.

    If not given, ``scanned_at`` is when the report's scan began, and ``advisories_at`` what the report says itself.
    """
    name, tag = _named(report.reference)
    return Subject(
        digest=report.digest,
        name=name,
        tag=tag,
        namespace=namespace,
        images=report.images,
        skipped=report.skipped,
        scanned_at=scanned_at or parse_moment(report.started_at),
        advisories_at=advisories_at or advisories_checked_at(report),
        signed_by=signed_by,
    )


def _named(reference: str) -> tuple[str, str]:
    """Return name and tag of a reference; a path or a scheme for local images names no repository."""
    if reference.startswith((".", "/", "sha256:", "sha512:")) or re.match(
        r"[a-z-]+:(?![0-9]+/)[^/]*/", reference
    ):
        return "", ""
    try:
        parsed = parse_reference(reference)
    except InvalidReferenceError:
        return "", ""
    return parsed.name, parsed.tag


def base_layers_count(image: ImageReport) -> int:
    """Return how many of the oldest layers the base image brought; 0 if nothing tells.

    A base image ends with its command: it is what comes before the last ``CMD`` or ``ENTRYPOINT`` of the history that
    a layer follows.
    """
    if image.config is None:
        return 0
    found = layers = 0
    ended = 0
    for entry in image.config.history:
        if not entry.empty_layer:
            layers += 1
            found = ended
        elif _STARTS_CONTAINER.search(entry.created_by):
            ended = layers
    return found
