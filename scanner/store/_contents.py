"""What images hold: packages and findings, of an image and across all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, select, tuple_

from scanner.errors import InvalidReferenceError
from scanner.model import Finding
from scanner.ports.service import (
    FindingFilter,
    FindingRecord,
    PackageRecord,
    PackageUse,
    Page,
)
from scanner.store._cursor import Key, Position, bounded, page_of, read_cursor, write_cursor
from scanner.store._dialect import clean
from scanner.store._image_rows import name_hash
from scanner.store._tables import FINDINGS, IMAGE_PACKAGES, IMAGES, INDEX_CHILDREN, PACKAGES

_PLACE = tuple[str, Key, Position]
_USE_PLACE = tuple[str, Key, Key, Position]
_USE_COLUMNS: Final = (IMAGE_PACKAGES.c.package_id, IMAGE_PACKAGES.c.image_key, IMAGE_PACKAGES.c.position)  # fmt: skip


def packages(connection: Connection, digest: str, *, after: str, limit: int) -> Page[PackageRecord]:
    """Return an image's packages, or those of an index's images."""
    start, limit = read_cursor(after, "packages", _PLACE), bounded(limit)
    place = (IMAGE_PACKAGES.c.image_key, IMAGE_PACKAGES.c.position)
    query = (
        select(IMAGE_PACKAGES, PACKAGES)
        .join(PACKAGES, PACKAGES.c.id == IMAGE_PACKAGES.c.package_id)
        .where(IMAGE_PACKAGES.c.image_key.in_(_keys(connection, digest)))
        .order_by(*place)
        .limit(limit + 1)
    )
    if start is not None:
        query = query.where(tuple_(*place) > tuple_(*start[1:]))
    rows = connection.execute(query).all()
    return page_of(
        rows,
        limit,
        _package_record,
        lambda row: write_cursor("packages", row.image_key, row.position),
    )


def _package_record(row: Row[Any]) -> PackageRecord:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return PackageRecord(**{name: values[name] for name in PackageRecord.__struct_fields__})


def _keys(connection: Connection, digest: str) -> list[int]:
    """Return the key of an image, or those of an index's images; none for what was never scanned."""
    own = select(IMAGES.c.key).where(IMAGES.c.digest == clean(digest))
    index = IMAGES.alias()
    children = (
        select(IMAGES.c.key)
        .join(INDEX_CHILDREN, INDEX_CHILDREN.c.child_digest == IMAGES.c.digest)
        .join(index, index.c.key == INDEX_CHILDREN.c.index_key)
        .where(index.c.digest == clean(digest))
    )
    return list(connection.execute(own.union(children)).scalars())


def package_versions(
    connection: Connection, purl_type: str, namespace: str, name: str
) -> list[str]:
    """Return every version of a package that some image holds, sorted as text."""
    held = exists().where(IMAGE_PACKAGES.c.package_id == PACKAGES.c.id)
    query = select(PACKAGES.c.version).where(*_named(purl_type, namespace, name), held).distinct()
    return sorted(connection.execute(query).scalars())


def _named(purl_type: str, namespace: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return (PACKAGES.c.name_hash == name_hash(clean(purl_type), clean(namespace), clean(name)),)


def images_with_package(
    connection: Connection,
    purl_type: str,
    namespace: str,
    name: str,
    *,
    versions: Collection[str] | None,
    after: str,
    limit: int,
) -> Page[PackageUse]:
    """Return the images that hold a package; one that holds it at several paths more than once."""
    start, limit = read_cursor(after, "uses", _USE_PLACE), bounded(limit)
    query = (
        select(*_USE_COLUMNS, IMAGE_PACKAGES.c.path, IMAGES.c.digest, PACKAGES.c.purl, PACKAGES.c.version)
        .select_from(PACKAGES)
        .join(IMAGE_PACKAGES, IMAGE_PACKAGES.c.package_id == PACKAGES.c.id)
        .join(IMAGES, IMAGES.c.key == IMAGE_PACKAGES.c.image_key)
        .where(*_named(purl_type, namespace, name))
    )  # fmt: skip
    if versions is not None:
        query = query.where(PACKAGES.c.version.in_(sorted({clean(v) for v in versions})))
    rows = _uses_after(connection, query, start, limit + 1)
    return page_of(
        rows,
        limit,
        lambda row: PackageUse(
            digest=row.digest, purl=row.purl, version=row.version, path=row.path
        ),
        lambda row: write_cursor("uses", row.package_id, row.image_key, row.position),
    )


def _uses_after(
    connection: Connection, query: Select[Any], start: tuple[Any, ...] | None, count: int
) -> list[Row[Any]]:
    """Return the next rows: first of the package where the page before ended, then of later ones.

    Two questions, because each can begin at its place in an index, and one for both could not.
    """
    rows: list[Row[Any]] = []
    if start is not None:
        _, package_id, image_key, position = start
        same = query.where(
            PACKAGES.c.id == package_id,
            tuple_(*_USE_COLUMNS[1:]) > tuple_(image_key, position),
        )
        rows += connection.execute(same.order_by(*_USE_COLUMNS[1:]).limit(count)).all()
        query = query.where(PACKAGES.c.id > package_id)
    if len(rows) < count:
        later = query.order_by(PACKAGES.c.id, *_USE_COLUMNS[1:]).limit(count - len(rows))
        rows += connection.execute(later).all()
    return rows


def findings(
    connection: Connection, wanted: FindingFilter, *, after: str, limit: int
) -> Page[FindingRecord]:
    """Return findings, worst first within an image.

    Raises:
        InvalidReferenceError: neither a digest nor a rule is named, or the cursor is not one.
    """
    if not wanted.digest and not wanted.rule_id:
        raise InvalidReferenceError("", "a digest or a rule must be named")
    start, limit = read_cursor(after, "findings", _PLACE), bounded(limit)
    place = (FINDINGS.c.image_key, FINDINGS.c.position)
    query = (
        select(*place, FINDINGS.c.data, IMAGES.c.digest)
        .join(IMAGES, IMAGES.c.key == FINDINGS.c.image_key)
        .where(*_conditions(wanted))
        .order_by(*place)
        .limit(limit + 1)
    )
    if wanted.digest:
        query = query.where(FINDINGS.c.image_key.in_(_keys(connection, wanted.digest)))
    if start is not None:
        query = query.where(tuple_(*place) > tuple_(*start[1:]))
    rows = connection.execute(query).all()
    return page_of(
        rows,
        limit,
        lambda row: FindingRecord(
            digest=row.digest, finding=msgspec.json.decode(row.data, type=Finding)
        ),
        lambda row: write_cursor("findings", row.image_key, row.position),
    )


def _conditions(wanted: FindingFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.rule_id:
        conditions.append(FINDINGS.c.rule_id == clean(wanted.rule_id))
    if wanted.kinds:
        conditions.append(FINDINGS.c.kind.in_([clean(kind) for kind in wanted.kinds]))
    if wanted.severities:
        conditions.append(FINDINGS.c.severity.in_([s.rank for s in wanted.severities]))
    if wanted.package:
        conditions.append(FINDINGS.c.package == clean(wanted.package))
    if wanted.path_prefix:
        prefix = clean(wanted.path_prefix)
        conditions.append(func.substr(FINDINGS.c.path, 1, len(prefix)) == prefix)
    return conditions
