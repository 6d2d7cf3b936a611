"""Requested scans as they are, and the queue's numbers."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    func,
    literal_column,
    select,
    text,
    update,
)

from scanner.ports.service import JobState, Page, ScanRecord
from scanner.store._cursor import Id, bounded, page_of, read_cursor, write_cursor
from scanner.store._dialect import clean
from scanner.store._leases import moment
from scanner.store._moments import now_ms, to_ms
from scanner.store._scan_rows import scan_record
from scanner.store._tables import OVER, SCANS

_PLACE = tuple[str, Id]
_CHUNK: Final = 500
"""Values in one statement: SQLite takes 32,766, and plans are made for each count."""


def scan(connection: Connection, scan_id: str) -> ScanRecord | None:
    """Return a scan by its id."""
    return _first(connection, select(SCANS).where(SCANS.c.id == clean(scan_id)))


def scan_of(connection: Connection, digest: str) -> ScanRecord | None:
    """Return the newest scan of a digest."""
    query = select(SCANS).where(SCANS.c.digest == clean(digest))
    return _first(connection, query.order_by(SCANS.c.id.desc()).limit(1)) if digest else None


def scans_of(connection: Connection, digests: Collection[str]) -> dict[str, ScanRecord]:
    """Return the newest scan of each digest; those nobody asked for are not in it."""
    wanted = sorted({clean(digest) for digest in digests if digest})
    found: dict[str, ScanRecord] = {}
    for start in range(0, len(wanted), _CHUNK):
        asked = SCANS.c.digest.in_(wanted[start : start + _CHUNK])
        newest = select(func.max(SCANS.c.id)).where(asked).group_by(SCANS.c.digest)
        for row in connection.execute(select(SCANS).where(SCANS.c.id.in_(newest))):
            found[row.digest] = scan_record(row)
    return found


def _first(connection: Connection, query: Select[Any]) -> ScanRecord | None:
    row = connection.execute(query).first()
    return None if row is None else scan_record(row)


def scans(
    connection: Connection, *, state: JobState | None, after: str, limit: int
) -> Page[ScanRecord]:
    """Return scans, newest first."""
    start, limit = read_cursor(after, "scans", _PLACE), bounded(limit)
    key: ColumnElement[str] = SCANS.c.id
    if state is JobState.SCANNING:
        key = key.concat("")  # those are few: find them by their state, not by walking all ids
    query = select(SCANS).order_by(key.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(*_in_state(state))
    if start is not None:
        query = query.where(key < start[1])
    rows = connection.execute(query).all()
    return page_of(rows, limit, scan_record, lambda row: write_cursor("scans", row.id))


def _in_state(state: JobState) -> tuple[ColumnElement[bool], ...]:
    """Return the condition in the words of the partial indexes."""
    is_it = SCANS.c.state == literal_column(f"'{state.value}'")
    return (is_it, literal_column(OVER, Boolean)) if state.is_over else (is_it,)


def finished_scans(connection: Connection, since: datetime, *, limit: int) -> list[ScanRecord]:
    """Return scans that ended at ``since`` or later, the earliest first."""
    order = (SCANS.c.finished_at, SCANS.c.id)
    query = select(SCANS).where(SCANS.c.finished_at >= to_ms(since)).order_by(*order)
    return [scan_record(row) for row in connection.execute(query.limit(bounded(limit)))]


def cancel(connection: Connection, scan_id: str) -> bool:
    """End a scan that waits; tell the worker of one that runs."""
    one = SCANS.c.id == clean(scan_id)
    ended = {"state": JobState.CANCELLED.value, "finished_at": now_ms(), "cancel_requested": True}
    waits = update(SCANS).where(one, SCANS.c.state == JobState.QUEUED.value).values(ended)
    if connection.execute(waits).rowcount:
        return True
    runs = update(SCANS).where(one, SCANS.c.state == JobState.SCANNING.value)
    return connection.execute(runs.values(cancel_requested=True)).rowcount > 0


def active_counts(connection: Connection) -> tuple[dict[JobState, int], float]:
    """Return scans by state of those not over, and for how many seconds the oldest that could start has waited."""
    waiting = select(func.count(), func.min(SCANS.c.not_before_at)).where(
        *_in_state(JobState.QUEUED)
    )
    running = select(func.count()).select_from(SCANS).where(*_in_state(JobState.SCANNING))
    count, oldest = connection.execute(waiting).one()
    counts = {
        JobState.QUEUED: count,
        JobState.SCANNING: connection.execute(running).scalar_one(),
    }
    age_ms = 0 if oldest is None else max(0, moment(connection) - oldest)
    return counts, age_ms / 1_000


def over_counts(connection: Connection) -> dict[JobState, int]:
    """Return scans by state of those that are over. Counts every one of them, in an index."""
    query = select(SCANS.c.state, func.count()).where(text(OVER)).group_by(SCANS.c.state)
    found = {row.state: row[1] for row in connection.execute(query)}
    return {state: found.get(state.value, 0) for state in JobState if state.is_over}
