"""What images hold: packages and findings, of an image and across all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    exists,
    func,
    select,
    tuple_,
)

from scanner.decoding import decode_json
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
_USE: Final = (IMAGE_PACKAGES.c.image_key, IMAGE_PACKAGES.c.position)


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
    wanted = list(_named(purl_type, namespace, name))
    if versions is not None:
        wanted.append(PACKAGES.c.version.in_(sorted({clean(v) for v in versions})))
    rows: list[Row[Any]] = []
    if start is not None:  # the package that the page before ended with, then those after it
        _, package_id, image_key, position = start
        uses = _uses_of(package_id, limit + 1).where(tuple_(*_USE) > tuple_(image_key, position))
        rows += _with_names(connection, uses.subquery("uses"), wanted, limit + 1)
        wanted.append(PACKAGES.c.id > package_id)
    if len(rows) <= limit:
        rows += _with_names(connection, _uses(connection, limit + 1), wanted, limit + 1 - len(rows))
    return page_of(
        rows,
        limit,
        lambda row: PackageUse(
            digest=row.digest, purl=row.purl, version=row.version, path=row.path
        ),
        lambda row: write_cursor("uses", row.package_id, row.image_key, row.position),
    )


def _uses_of(package_id: Any, count: int) -> Select[Any]:
    """Return the first uses of a package. Limited before they get names: no database then walks all images."""
    columns = (IMAGE_PACKAGES.c.package_id, *_USE, IMAGE_PACKAGES.c.path)
    is_it = IMAGE_PACKAGES.c.package_id == package_id
    return select(*columns).where(is_it).order_by(*_USE).limit(count)


def _uses(connection: Connection, count: int) -> FromClause:
    """Return the uses of whichever packages they are joined with; SQLite stops early by itself."""
    if connection.dialect.name == "sqlite":
        return IMAGE_PACKAGES
    return _uses_of(PACKAGES.c.id, count).correlate(PACKAGES).lateral("uses")


def _with_names(
    connection: Connection, uses: FromClause, wanted: Sequence[ColumnElement[bool]], count: int
) -> Sequence[Row[Any]]:
    place = (uses.c.image_key, uses.c.position)
    columns: list[ColumnElement[Any]] = [uses.c.package_id, *place, uses.c.path]
    columns += [IMAGES.c.digest, PACKAGES.c.purl, PACKAGES.c.version]
    query = (
        select(*columns)
        .select_from(PACKAGES)
        .join(uses, uses.c.package_id == PACKAGES.c.id)
        .join(IMAGES, IMAGES.c.key == uses.c.image_key)
        .where(*wanted)
        .order_by(PACKAGES.c.id, *place)
        .limit(count)
    )
    return connection.execute(query).all()


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
    query = select(*place, FINDINGS.c.data).where(*_conditions(wanted)).order_by(*place)
    if wanted.digest:
        query = query.where(FINDINGS.c.image_key.in_(_keys(connection, wanted.digest)))
    if start is not None:
        query = query.where(tuple_(*place) > tuple_(*start[1:]))
    found = query.limit(limit + 1).subquery("found")  # limited before it is joined: see _uses_of
    named = select(found, IMAGES.c.digest).join(IMAGES, IMAGES.c.key == found.c.image_key)
    rows = connection.execute(named.order_by(found.c.image_key, found.c.position)).all()
    return page_of(
        rows,
        limit,
        lambda row: FindingRecord(digest=row.digest, finding=decode_json(row.data, Finding)),
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
