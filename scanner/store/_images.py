"""Write what a scan found, so that it can be asked for by digest, package, finding and layer.

Everything happens on the caller's connection, in the caller's transaction. Rows that several writers may
want are written in one order (images by digest, then packages by hash), so that none waits for one that
waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, insert, select

from scanner.model import ImageReport, ScanReport, ScanState
from scanner.store import _attestations
from scanner.store._codec import pack
from scanner.store._dialect import CHUNK_ROWS, clean, inserting, upsert
from scanner.store._image_rows import (
    WORST,
    Contents,
    child_rows,
    contents_of,
    image_row,
    index_row,
    name_hash,
)
from scanner.store._moments import from_ms
from scanner.store._tables import (
    FINDINGS,
    IMAGE_LAYERS,
    IMAGE_LOCATIONS,
    IMAGE_PACKAGES,
    IMAGE_REPORTS,
    IMAGES,
    INDEX_CHILDREN,
    PACKAGES,
)

__all__ = ["is_written", "name_hash", "prepare", "write_report"]

_Item = TypeVar("_Item")
_TOLD: Final = "-told"
"""Ends the fingerprint of a report that is kept to be told, never to answer another scan."""
_FAILED: Final = ScanState.FAILED.value


def prepare(report: ScanReport) -> dict[str, Contents]:
    """Return the rows of a report's images by digest: what takes long and needs no transaction."""
    return {clean(image.digest, 160): contents_of(image) for image in report.images}


def is_written(connection: Connection, report: ScanReport) -> bool:
    """Whether :func:`write_report` would find every image written."""
    fresh = _fresh_reports(connection, report)
    known = _known(connection, list(fresh))
    return all(
        image.digest in known
        and known[image.digest]["report_fingerprint"] == _kept_as(report, is_fresh=True)
        and _is_written(known[image.digest], fresh[image.digest])
        for image in report.images
    )


def write_report(
    connection: Connection,
    report: ScanReport,
    *,
    at_ms: int,
    contents: Mapping[str, Contents] | None = None,
    registry: str = "",
    repository: str = "",
    is_whole: bool = True,
) -> None:
    """Make a report what is known of its digests, in place of what an earlier scan wrote.

    What could be seen before stays where less was seen now: a failed scan replaces only failed ones, and one
    of the same fingerprint nothing that is more complete. ``registry`` and ``repository`` say where the
    digests were found; empty where nobody else can pull them. ``is_whole`` is False where some platforms only
    were asked for. ``contents`` are from :func:`prepare`, made here if need be.
    """
    where = f"{registry}/{repository}" if registry else ""
    images = {clean(image.digest, 160): image for image in report.images}
    fresh = _fresh_reports(connection, report)
    rows = [
        image_row(
            report,
            image,
            reference=f"{where}@{digest}" if where else report.reference,
            report_fingerprint=_kept_as(report, is_fresh=digest in fresh),
            at_ms=at_ms,
        )
        for digest, image in sorted(images.items())
    ]
    keys, changed = _write_images(connection, rows, fresh, _stamp(report))
    told = [row for row in rows if row["digest"] in changed and row["digest"] not in fresh]
    _write_told(connection, told, images)
    if changed:
        contents = contents or prepare(report)
        _write_contents(connection, {keys[digest]: contents[digest] for digest in sorted(changed)})
    if clean(report.digest, 160) not in images:
        key = _write_index(connection, report, list(images), where, is_whole=is_whole, at_ms=at_ms)
        keys[clean(report.digest, 160)] = key
    if registry:
        _write_locations(connection, keys.values(), registry, repository, at_ms)
    # Nothing is to be stated of an index of which some platforms were left out.
    left_out = clean(report.digest, 160) if not is_whole and len(keys) > len(images) else ""
    _attestations.ask(connection, (key for digest, key in keys.items() if digest != left_out))


def _stamp(report: ScanReport) -> str:
    """Return what tells matches with one state of the advisories from those with another; empty without any."""
    stamps = (image.advisories.stamp for image in report.images if image.advisories)
    return next((f"-{stamp[:16]}" for stamp in stamps), "")


def _kept_as(report: ScanReport, *, is_fresh: bool) -> str:
    """Return the fingerprint under which a report is kept to be told.

    What the scan itself has stored knows nothing of advisories, so that it can answer other scans tomorrow.
    """
    stamp = _stamp(report)
    return report.fingerprint + (f"{stamp}{_TOLD}" if stamp or not is_fresh else "")


def _fresh_reports(connection: Connection, report: ScanReport) -> dict[str, str]:
    """Return images whose report is stored since today, by the scan itself or after a match like this, and when.

    One with a layer that could not be read was not stored: what is there under its name is an older one.
    """
    digests = [
        image.digest
        for image in report.images
        if image.state is not ScanState.FAILED and not any(layer.error for layer in image.layers)
    ]
    if not digests:
        return {}
    query = select(IMAGE_REPORTS.c.digest, IMAGE_REPORTS.c.created_at).where(
        IMAGE_REPORTS.c.digest.in_(digests),
        IMAGE_REPORTS.c.fingerprint == _kept_as(report, is_fresh=True),
        IMAGE_REPORTS.c.created_at >= report.started_at[:10],
    )
    return {row.digest: row.created_at for row in connection.execute(query)}


def _write_images(
    connection: Connection, rows: Sequence[dict[str, Any]], fresh: Mapping[str, str], stamp: str
) -> tuple[dict[str, int], set[str]]:
    """Write rows of ``images``; return the keys by digest, and the digests whose contents are to be written."""
    known = _known(connection, [row["digest"] for row in rows])
    changed: set[str] = set()
    for row in rows:
        before = known.get(row["digest"])
        if before is None or not (
            _is_better(before, row, stamp)
            or (
                before["report_fingerprint"] == row["report_fingerprint"]
                and _is_written(before, fresh.get(row["digest"]))
            )
        ):
            changed.add(row["digest"])
    written = [row for row in rows if row["digest"] in changed]
    if written:
        upsert(connection, IMAGES, written, key=("digest",))
        known = _known(connection, [row["digest"] for row in rows])
    return {digest: row["key"] for digest, row in known.items()}, changed


def _known(connection: Connection, digests: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for chunk in _chunks(digests):
        for row in connection.execute(select(IMAGES).where(IMAGES.c.digest.in_(chunk))):
            found[row.digest] = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    return found


def _is_better(before: Mapping[str, Any], row: Mapping[str, Any], stamp: str) -> bool:
    """Whether what is known says more than what is to be written."""
    states = [WORST.index(ScanState(one["state"])) for one in (before, row)]
    is_other = before["fingerprint"] != row["fingerprint"]
    if stamp and stamp not in before["report_fingerprint"]:
        is_other = True  # data that is not there any more must not be told as if it were
    may_replace = row["state"] != _FAILED and is_other
    return states[0] < states[1] and not may_replace


def _is_written(before: Mapping[str, Any], created_at: str | None) -> bool:
    """Whether the tables were written when the stored report was there already."""
    if created_at is None:
        return False
    return created_at <= f"{from_ms(before['scanned_at']):%Y-%m-%dT%H:%M:%SZ}"


def _write_told(
    connection: Connection, rows: Sequence[Mapping[str, Any]], images: Mapping[str, ImageReport]
) -> None:
    for row in rows:
        values = {
            "digest": row["digest"],
            "fingerprint": row["report_fingerprint"],
            "reference": row["reference"],
            "report": pack(images[row["digest"]]),
            "created_at": f"{from_ms(row['scanned_at']):%Y-%m-%dT%H:%M:%SZ}",
        }
        upsert(connection, IMAGE_REPORTS, [values])


def _write_contents(connection: Connection, images: Mapping[int, Contents]) -> None:
    """Replace the packages, findings and layers of images, by their keys."""
    for table in (IMAGE_PACKAGES, FINDINGS, IMAGE_LAYERS):
        is_one = table.c.image_key == bindparam("replaced")
        connection.execute(delete(table).where(is_one), [{"replaced": key} for key in images])
    packages: dict[str, dict[str, Any]] = {}
    for contents in images.values():
        packages.update(contents.packages)
    ids = _package_ids(connection, packages)
    for key, contents in images.items():
        uses = ({**row, "image_key": key, "package_id": ids[h]} for h, row in contents.uses)
        _insert(connection, IMAGE_PACKAGES, uses)
        _insert(connection, FINDINGS, ({**row, "image_key": key} for row in contents.findings))
        _insert(connection, IMAGE_LAYERS, ({**row, "image_key": key} for row in contents.layers))


def _package_ids(connection: Connection, rows: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """Return the id of each package by its hash; those not yet known are made."""
    ids = _known_ids(connection, sorted(rows))
    missing = sorted(rows.keys() - ids.keys())
    for chunk in _chunks(missing):
        statement = inserting(connection)(PACKAGES).on_conflict_do_nothing(
            index_elements=[PACKAGES.c.purl_hash]
        )
        connection.execute(statement, [rows[purl_hash] for purl_hash in chunk])
    return ids | _known_ids(connection, missing)


def _known_ids(connection: Connection, hashes: Sequence[str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for chunk in _chunks(hashes):
        query = select(PACKAGES.c.purl_hash, PACKAGES.c.id).where(PACKAGES.c.purl_hash.in_(chunk))
        ids.update((row.purl_hash, row.id) for row in connection.execute(query))
    return ids


def _write_index(
    connection: Connection,
    report: ScanReport,
    digests: Sequence[str],
    where: str,
    *,
    is_whole: bool,
    at_ms: int,
) -> int:
    """Write the row of an index and its list of images; return its key."""
    known = _known(connection, [*digests, clean(report.digest, 160)])
    row = index_row(
        report,
        [known[digest] for digest in digests],
        reference=f"{where}@{report.digest}" if where else report.reference,
        is_whole=is_whole,
        at_ms=at_ms,
    )
    before = known.get(row["digest"])
    if before is not None and _is_better(before, row, _stamp(report)):
        return int(before["key"])
    upsert(connection, IMAGES, [row], key=("digest",))
    key = _known(connection, [row["digest"]])[row["digest"]]["key"]
    connection.execute(delete(INDEX_CHILDREN).where(INDEX_CHILDREN.c.index_key == key))
    _insert(connection, INDEX_CHILDREN, child_rows(key, report.images))
    return int(key)


def _write_locations(
    connection: Connection, keys: Iterable[int], registry: str, repository: str, at_ms: int
) -> None:
    place = {"registry": clean(registry, 255), "repository": clean(repository, 255)}
    rows = [{"image_key": key, **place, "seen_at": at_ms} for key in sorted(keys)]
    upsert(connection, IMAGE_LOCATIONS, rows)


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        connection.execute(insert(table), chunk)


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), CHUNK_ROWS):
        yield items[start : start + CHUNK_ROWS]
