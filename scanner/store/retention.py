"""Let go of what nobody needs any more, a little at a time and never what is referred to.

Each kind is walked in the order of its key: what may go is looked for without a lock, and then deleted in
small transactions that look again. Between them others have their turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    delete,
    exists,
    or_,
    select,
    tuple_,
)
from sqlalchemy.exc import DBAPIError

from scanner.ports.service import JobState
from scanner.store._backend import parse_where
from scanner.store._database import open_database, writer
from scanner.store._errors import sqlstate, store_errors
from scanner.store._moments import to_ms
from scanner.store._tables import (
    DECISIONS,
    DELIVERIES,
    IMAGE_LAYERS,
    IMAGE_PACKAGES,
    IMAGE_REPORTS,
    IMAGES,
    INDEX_CHILDREN,
    LAYER_REPORTS,
    PACKAGES,
    SCANS,
    TAGS,
    TOKENS,
)

_IMAGE_REPORTS_DAYS: Final = 2.0
"""Reports of today spare other scans the work; nobody asks for older ones but by their image."""
_LAYER_REPORTS_DAYS: Final = 7.0
"""Layers of no known image: of scans that failed, or of images that are pushed again and again."""
_TOKENS_DAYS: Final = 30.0
_OVER: Final = tuple(state.value for state in JobState if state.is_over)
_ROWS: Final = 500
_IMAGES: Final = 20  # each takes its packages, findings and layers along
_LONGEST_PAUSE_SECONDS: Final = 0.2
_OTHERS_FIRST: Final = frozenset({"23503", "40001", "40P01", "55P03"})
"""PostgreSQL: somebody uses these very rows now. They stay until the next time."""

_Conditions = tuple[ColumnElement[bool], ...]


def collect(
    where: str | Path,
    *,
    scans_days: float,
    images_days: float,
    deliveries_days: float,
    decisions_days: float,
    now: datetime | None = None,
) -> dict[str, int]:
    """Delete what was last needed longer ago than it is kept, and return how many rows of which table.

    ``scans_days``: scans that are over, but for the newest of each digest that is known. ``images_days``:
    images since their last scan, unless a tag leads to them or an index that stays has them, or a scan of
    them waits or runs. 0 keeps them for ever. What only they needed goes too.

    Raises:
        StoreError: the database cannot be opened or written; what was deleted until then stays so, and the
            next call goes on.
    """
    backend = parse_where(where)
    engine = open_database(backend)
    moment = now or datetime.now(UTC)
    try:
        with store_errors(backend.shown):
            return _collect(
                engine,
                moment,
                scans_days=scans_days,
                images_days=images_days,
                deliveries_days=deliveries_days,
                decisions_days=decisions_days,
            )
    finally:
        engine.dispose()


def _collect(
    engine: Engine,
    now: datetime,
    *,
    scans_days: float,
    images_days: float,
    deliveries_days: float,
    decisions_days: float,
) -> dict[str, int]:
    counts = {"images": 0, "scans": 0, "deliveries": 0, "decisions": 0}
    if images_days:
        before = _ms_before(now, images_days)
        for conditions in (_unneeded_indexes(before), _unneeded_images(before)):
            counts["images"] += _delete(engine, IMAGES, conditions, rows=_IMAGES)
    if scans_days:
        counts["scans"] = _delete(engine, SCANS, _old_scans(_ms_before(now, scans_days)))
    if deliveries_days:
        old = DELIVERIES.c.received_at < _ms_before(now, deliveries_days)
        counts["deliveries"] = _delete(engine, DELIVERIES, (old,))
    if decisions_days:
        old = DECISIONS.c.decided_at < _ms_before(now, decisions_days)
        counts["decisions"] = _delete(engine, DECISIONS, (old,))
    return counts | {
        "image_reports": _delete(engine, IMAGE_REPORTS, _unneeded_image_reports(now)),
        "layer_reports": _delete(engine, LAYER_REPORTS, _unneeded_layer_reports(now)),
        "packages": _delete(engine, PACKAGES, _unheld_packages()),
        "tokens": _delete(engine, TOKENS, _dead_tokens(_ms_before(now, _TOKENS_DAYS))),
    }


def _unneeded_indexes(before_ms: int) -> _Conditions:
    return (IMAGES.c.kind == "index", *_unneeded(before_ms))


def _unneeded_images(before_ms: int) -> _Conditions:
    is_child = exists().where(INDEX_CHILDREN.c.child_digest == IMAGES.c.digest)
    return (IMAGES.c.kind != "index", ~is_child, *_unneeded(before_ms))


def _unneeded(before_ms: int) -> _Conditions:
    is_tagged = exists().where(TAGS.c.digest == IMAGES.c.digest, TAGS.c.replaced_at.is_(None))
    is_asked_for = exists().where(SCANS.c.digest == IMAGES.c.digest, SCANS.c.state.not_in(_OVER))
    return (IMAGES.c.scanned_at < before_ms, ~is_tagged, ~is_asked_for)


def _old_scans(before_ms: int) -> _Conditions:
    newer = SCANS.alias()
    is_older = exists().where(newer.c.digest == SCANS.c.digest, newer.c.id > SCANS.c.id)
    is_known = exists().where(IMAGES.c.digest == SCANS.c.digest)
    is_over = and_(SCANS.c.state.in_(_OVER), SCANS.c.finished_at < before_ms)
    return (is_over, or_(SCANS.c.digest == "", is_older, ~is_known))


def _unneeded_image_reports(now: datetime) -> _Conditions:
    is_told = exists().where(
        IMAGES.c.digest == IMAGE_REPORTS.c.digest,
        IMAGES.c.report_fingerprint == IMAGE_REPORTS.c.fingerprint,
    )
    return (IMAGE_REPORTS.c.created_at < _text_before(now, _IMAGE_REPORTS_DAYS), ~is_told)


def _unneeded_layer_reports(now: datetime) -> _Conditions:
    """Old ones of no known image, or that other analyzers have looked at since."""
    newer = LAYER_REPORTS.alias()
    is_replaced = exists().where(
        newer.c.digest == LAYER_REPORTS.c.digest, newer.c.created_at > LAYER_REPORTS.c.created_at
    )
    is_used = exists().where(IMAGE_LAYERS.c.layer_digest == LAYER_REPORTS.c.digest)
    is_old = LAYER_REPORTS.c.created_at < _text_before(now, _LAYER_REPORTS_DAYS)
    return (is_old, or_(~is_used, is_replaced))


def _unheld_packages() -> _Conditions:
    return (~exists().where(IMAGE_PACKAGES.c.package_id == PACKAGES.c.id),)


def _dead_tokens(before_ms: int) -> _Conditions:
    return (or_(TOKENS.c.revoked_at < before_ms, TOKENS.c.expires_at < before_ms),)


def _ms_before(now: datetime, days: float) -> int:
    return to_ms(now) - int(days * 86_400_000)


def _text_before(now: datetime, days: float) -> str:
    return f"{(now - timedelta(days=days)).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _delete(engine: Engine, table: Table, conditions: _Conditions, *, rows: int = _ROWS) -> int:
    """Delete the rows that all conditions hold for; return how many."""
    key = tuple(table.primary_key)
    found = select(*key).where(*conditions).order_by(*key).limit(rows)
    count, last = 0, None
    while True:
        later = found if last is None else found.where(tuple_(*key) > tuple_(*last))
        with engine.connect() as connection:
            keys = connection.execute(later).all()
        if not keys:
            return count
        last = tuple(keys[-1])
        began = time.monotonic()
        try:
            with writer(engine).begin() as connection:
                count += _delete_rows(connection, table, conditions, [tuple(one) for one in keys])
        except DBAPIError as error:
            if sqlstate(error) not in _OTHERS_FIRST:
                raise
        time.sleep(min(time.monotonic() - began, _LONGEST_PAUSE_SECONDS))


def _delete_rows(
    connection: Connection, table: Table, conditions: _Conditions, keys: Sequence[tuple[Any, ...]]
) -> int:
    if table is IMAGES and connection.dialect.name == "postgresql":
        # Nobody may begin to refer to an image between our look and our deletion. In this order: a scan
        # that ends writes tags before it writes scans.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql("LOCK TABLE tags, scans IN SHARE MODE")
    chosen = tuple_(*table.primary_key).in_(keys)
    return connection.execute(delete(table).where(chosen, *conditions)).rowcount
