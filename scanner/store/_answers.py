"""What is known of a digest: the short answer, its images, its layers, the whole report."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, bindparam, select

from scanner.decoding import convert, decode_json
from scanner.model import ImageReport, ScanReport, ScanState, Severity
from scanner.ports.service import ImageSummary
from scanner.store._codec import unpack
from scanner.store._dialect import clean
from scanner.store._moments import from_ms
from scanner.store._tables import IMAGE_REPORTS, IMAGES, INDEX_CHILDREN

INDEX: Final = "index"
_CHUNK: Final = 500

_SHORT: Final = [
    IMAGES.c[name]
    for name in (
        *("digest", "kind", "platform", "config_digest", "state", "packages_count", "coverage"),
        *("error", "reference", "fingerprint", "report_fingerprint", "scanned_at"),
        *(f"{severity}_count" for severity in Severity),
    )
]
_IMAGE: Final = select(*_SHORT).where(IMAGES.c.digest == bindparam("digest"))
_OF_MANY: Final = select(*_SHORT).where(IMAGES.c.digest.in_(bindparam("digests", expanding=True)))
_CHILDREN: Final = (
    select(INDEX_CHILDREN.c.child_digest)
    .join(IMAGES, IMAGES.c.key == INDEX_CHILDREN.c.index_key)
    .where(IMAGES.c.digest == bindparam("digest"))
    .order_by(INDEX_CHILDREN.c.position)
)
_ENVELOPE: Final = select(IMAGES.c.kind, IMAGES.c.envelope).where(
    IMAGES.c.digest == bindparam("digest")
)
_REPORTS: Final = (
    select(IMAGES.c.digest, IMAGE_REPORTS.c.report)
    .join(
        IMAGE_REPORTS,
        (IMAGE_REPORTS.c.digest == IMAGES.c.digest)
        & (IMAGE_REPORTS.c.fingerprint == IMAGES.c.report_fingerprint),
    )
    .where(IMAGES.c.digest.in_(bindparam("digests", expanding=True)))
)


class PackedReport(msgspec.Struct, frozen=True):
    """A scan's report as it is kept: taking it apart costs time, and no connection should wait for it."""

    envelope: str
    images: tuple[bytes | None, ...]
    """Packed, in the report's order; None for one that is missing."""


def image(connection: Connection, digest: str) -> ImageSummary | None:
    """Return what is known of a digest."""
    row = connection.execute(_IMAGE, {"digest": clean(digest)}).first()
    return None if row is None else _summary(row)


def images(connection: Connection, digests: Collection[str]) -> dict[str, ImageSummary]:
    """Return what is known of each digest."""
    wanted = dict.fromkeys(clean(digest) for digest in digests)
    found: dict[str, ImageSummary] = {}
    for chunk in _chunks(list(wanted)):
        for row in connection.execute(_OF_MANY, {"digests": chunk}):
            found[row.digest] = _summary(row)
    return {digest: found[digest] for digest in wanted if digest in found}


def index_children(connection: Connection, digest: str) -> tuple[str, ...]:
    """Return the digests of an index's images, in its order."""
    return tuple(connection.execute(_CHILDREN, {"digest": clean(digest)}).scalars())


def packed_report(connection: Connection, digest: str) -> PackedReport | None:
    """Return the report of a digest, still packed."""
    known = connection.execute(_ENVELOPE, {"digest": clean(digest)}).first()
    if known is None:
        return None
    digests = list(index_children(connection, digest)) if known.kind == INDEX else [clean(digest)]
    packed: dict[str, bytes] = {}
    for chunk in _chunks(digests):
        for row in connection.execute(_REPORTS, {"digests": chunk}):
            packed[row.digest] = row.report
    return PackedReport(known.envelope, tuple(packed.get(one) for one in digests))


def unpack_report(packed: PackedReport) -> ScanReport | None:
    """Return the report, or None if a part is missing or damaged."""
    images = [None if one is None else unpack(one, ImageReport) for one in packed.images]
    whole = tuple(one for one in images if one is not None)
    if len(whole) != len(images):
        return None
    try:
        envelope = decode_json(packed.envelope, dict[str, Any])
        report = convert({**envelope, "images": ()}, ScanReport)
    except msgspec.MsgspecError:
        return None
    return msgspec.structs.replace(report, images=whole)


def _summary(row: Row[Any]) -> ImageSummary:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return ImageSummary(
        digest=row.digest,
        kind=row.kind,
        platform=row.platform,
        config_digest=row.config_digest,
        state=ScanState(row.state),
        severities={severity: values[f"{severity}_count"] for severity in Severity},
        packages_count=row.packages_count,
        coverage=decode_json(row.coverage, dict[str, Any]),
        error=row.error,
        reference=row.reference,
        fingerprint=row.fingerprint,
        report_fingerprint=row.report_fingerprint,
        scanned_at=from_ms(row.scanned_at),
    )


def _chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
