"""Tags over time, and those to be asked of their registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from scanner.ports.service import Page, TagCheck, TagEntry
from scanner.store._cursor import Id, bounded, page_of, read_cursor, write_cursor
from scanner.store._dialect import clean, inserting
from scanner.store._moments import from_ms, new_id, now_ms
from scanner.store._tables import TAG_CHECKS, TAGS

_PLACE = tuple[str, Id]
_FIRST_WAIT_MS: Final = 30_000
_LONGEST_WAIT_MS: Final = 3_600_000
_DOUBLINGS: Final = 7


def tag_history(
    connection: Connection, registry: str, repository: str, tag: str, *, after: str, limit: int
) -> Page[TagEntry]:
    """Return what a tag led to, newest first."""
    start, limit = read_cursor(after, "tags", _PLACE), bounded(limit)
    query = select(TAGS).where(*_is(TAGS, registry, repository, tag))
    if start is not None:
        query = query.where(TAGS.c.id < start[1])
    rows = connection.execute(query.order_by(TAGS.c.id.desc()).limit(limit + 1)).all()
    return page_of(
        rows,
        limit,
        lambda row: TagEntry(
            digest=row.digest,
            seen_at=from_ms(row.seen_at),
            replaced_at=None if row.replaced_at is None else from_ms(row.replaced_at),
        ),
        lambda row: write_cursor("tags", row.id),
    )


def ask_tags(connection: Connection, tags: Iterable[tuple[str, str, str]]) -> None:
    """Note that tags (registry, repository, tag) are to be asked of their registry, at once and anew."""
    now = now_ms()
    rows = [
        {
            "registry": registry,
            "repository": repository,
            "tag": tag,
            "not_before_at": now,
            "attempts": 0,
            "told_id": new_id(),
        }
        for registry, repository, tag in sorted(set(tags))
    ]
    if not rows:
        return
    statement = inserting(connection)(TAG_CHECKS)
    told = {name: statement.excluded[name] for name in ("not_before_at", "attempts", "told_id")}
    key = ["registry", "repository", "tag"]
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=told), rows)


def tag_checks(connection: Connection, limit: int) -> list[TagCheck]:
    """Return tags that are due, the longest due first, and make each due again in a while, later each time."""
    now = now_ms()
    key = (TAG_CHECKS.c.registry, TAG_CHECKS.c.repository, TAG_CHECKS.c.tag)
    due = (
        select(*key, TAG_CHECKS.c.attempts, TAG_CHECKS.c.told_id)
        .where(TAG_CHECKS.c.not_before_at <= now)
        .order_by(TAG_CHECKS.c.not_before_at, *key)
        .limit(bounded(limit))
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    if rows:
        places = [(row.registry, row.repository, row.tag) for row in rows]
        connection.execute(
            update(TAG_CHECKS)
            .where(tuple_(*key).in_(places))
            .values(
                not_before_at=literal(now, BigInteger) + _wait_ms(),
                attempts=TAG_CHECKS.c.attempts + 1,
            )
        )
    return [TagCheck(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it


def _wait_ms() -> ColumnElement[int]:
    waits = {n: min(_FIRST_WAIT_MS << n, _LONGEST_WAIT_MS) for n in range(_DOUBLINGS)}
    return case(waits, value=TAG_CHECKS.c.attempts, else_=_LONGEST_WAIT_MS)


def record_check(connection: Connection, check: TagCheck, digest: str) -> None:
    """Record what a registry said, and end the check unless the tag was said to have moved meanwhile."""
    record_tag(connection, check.registry, check.repository, check.tag, digest)
    connection.execute(
        delete(TAG_CHECKS).where(
            *_is(TAG_CHECKS, check.registry, check.repository, check.tag),
            TAG_CHECKS.c.told_id == check.told_id,
        )
    )


def record_tag(
    connection: Connection, registry: str, repository: str, tag: str, digest: str
) -> None:
    """Record what a tag leads to now; an empty digest: it is gone."""
    _lock_tag(connection, registry, repository, tag)
    current = (*_is(TAGS, registry, repository, tag), TAGS.c.replaced_at.is_(None))
    known = connection.execute(select(TAGS.c.digest).where(*current)).scalar()
    if (known or "") == digest:
        return
    now = now_ms()
    if known is not None:
        connection.execute(update(TAGS).where(*current).values(replaced_at=now))
    if digest:
        values = {"registry": registry, "repository": repository, "tag": tag, "digest": digest}
        row = {name: clean(value) for name, value in values.items()}
        connection.execute(insert(TAGS).values(id=new_id(), seen_at=now, **row))


def _lock_tag(connection: Connection, registry: str, repository: str, tag: str) -> None:
    """On PostgreSQL, let only one transaction at a time record this tag; on SQLite only one writes anyway."""
    if connection.dialect.name == "postgresql":
        from scanner.store._postgresql import lock_key  # noqa: PLC0415 - not needed for SQLite

        key = lock_key("tag", clean(registry), clean(repository), clean(tag))
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def _is(table: Table, registry: str, repository: str, tag: str) -> tuple[ColumnElement[bool], ...]:
    values: dict[str, Any] = {"registry": registry, "repository": repository, "tag": tag}
    return tuple(table.c[name] == clean(value) for name, value in values.items())
