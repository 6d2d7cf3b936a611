"""The queue's moves, each in the caller's transaction: take, extend, give back, end.

A lease is fenced by its attempt: a scan's ``attempts`` rises with every lease, and who names an older one is
not heard. On SQLite the transaction is the only one that writes; on PostgreSQL rows are locked, and leases are
given one at a time, so that the limit for a registry is exact.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    exists,
    extract,
    func,
    literal_column,
    select,
    update,
)

from scanner.model import ScanReport, ScanState
from scanner.ports.service import JobState, Lease, LeaseState
from scanner.store._backend import QUEUE_CHANNEL
from scanner.store._dialect import clean
from scanner.store._moments import now_ms
from scanner.store._scan_rows import scan_record
from scanner.store._tables import SCANS

LOST_CODE: Final = "worker-lost"
"""Error code of a scan whose every attempt ended without a word: killed, out of memory, cut off."""

_QUEUED: Final = JobState.QUEUED.value
_SCANNING: Final = JobState.SCANNING.value
_IS_QUEUED: Final = SCANS.c.state == literal_column(f"'{_QUEUED}'")
_IS_SCANNING: Final = SCANS.c.state == literal_column(f"'{_SCANNING}'")
"""Literally as the indexes say it: SQLite uses those for no parameter."""
_TAKEN_OVER_AT_ONCE: Final = 100
_FIRST_BACK_OFF_MS: Final = 10_000
_LONGEST_BACK_OFF_MS: Final = 3_600_000
_LONGEST_ASKED_MS: Final = 24 * 3_600_000
_FREE: Final = {"leased_by": "", "lease_until_at": None, "heartbeat_at": None, "stage": ""}
_ERROR_CHARS: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class LeaseRules:
    """What the queue allows."""

    lease_seconds: float
    """Without a heartbeat."""
    attempts_count: int
    registry_parallel: int
    """Scans of one registry at once."""
    scan_seconds: float
    """Longest attempt; then its lease is not extended any more."""

    @property
    def lease_ms(self) -> int:
        """As the tables count."""
        return int(self.lease_seconds * 1_000)


def moment(connection: Connection) -> int:
    """Return the moment by the one clock of all who share the database."""
    if connection.dialect.name == "sqlite":
        return now_ms()
    seconds = extract("epoch", func.clock_timestamp())
    return int(connection.execute(select(seconds)).scalar_one() * 1_000)


def is_waiting(connection: Connection, rules: LeaseRules) -> bool:
    """Whether a lease would be given, or taken from who has it, if one were asked for now."""
    now = moment(connection)
    if connection.scalar(select(exists().where(*_ran_out(now)))):
        return True
    return connection.scalar(select(exists().where(*_due(connection, rules, now)))) or False


def next_moment_ms(connection: Connection) -> int | None:
    """Return in how many milliseconds a wait or a lease ends by itself; None if there is neither."""
    now = moment(connection)
    waits = select(func.min(SCANS.c.not_before_at)).where(_IS_QUEUED, SCANS.c.not_before_at > now)
    leases = select(func.min(SCANS.c.lease_until_at)).where(_IS_SCANNING)
    ends = [connection.scalar(query) for query in (waits, leases)]
    return min((max(0, end - now) for end in ends if end is not None), default=None)


def take(connection: Connection, worker: str, rules: LeaseRules) -> Lease | None:
    """Lease the scan that is due first; first take those back whose leases ran out."""
    if connection.dialect.name == "postgresql":
        from scanner.store._postgresql import lock_key  # noqa: PLC0415 - needs the driver

        connection.execute(select(func.pg_advisory_xact_lock(lock_key("lease"))))
    now = moment(connection)
    _take_back(connection, rules, now)
    due = (
        select(SCANS.c.id)
        .where(*_due(connection, rules, now))
        .order_by(SCANS.c.priority, SCANS.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    scan_id = connection.scalar(due)
    if scan_id is None:
        return None
    leased = (
        update(SCANS)
        .where(SCANS.c.id == scan_id)
        .values(
            state=_SCANNING,
            attempts=SCANS.c.attempts + 1,
            leased_by=clean(worker, 128),
            lease_until_at=now + rules.lease_ms,
            heartbeat_at=now,
            started_at=now,
            stage="",
            progress="{}",
        )
        .returning(SCANS)
    )
    record = scan_record(connection.execute(leased).one())
    return Lease(scan=record, worker=record.leased_by, attempt=record.attempts)


def extend(connection: Connection, lease: Lease, rules: LeaseRules) -> LeaseState:
    """Extend a lease, unless its time limit has passed."""
    row = _held(connection, lease)
    if row is None:
        return LeaseState.LOST
    now = moment(connection)
    is_overdue = now > row.started_at + int(rules.scan_seconds * 1_000)
    if not is_overdue:
        values = {"heartbeat_at": now, "lease_until_at": now + rules.lease_ms}
        connection.execute(update(SCANS).where(*_is(lease)).values(values))
    if row.cancel_requested:
        return LeaseState.CANCELLED
    return LeaseState.OVERDUE if is_overdue else LeaseState.HELD


def tell_progress(
    connection: Connection, lease: Lease, stage: str, progress: Mapping[str, Any]
) -> None:
    """Note how far a scan is."""
    values = {"stage": clean(stage, 32), "progress": msgspec.json.encode(progress).decode()}
    connection.execute(update(SCANS).where(*_is(lease)).values(values))


def give_back(
    connection: Connection,
    lease: Lease,
    rules: LeaseRules,
    *,
    code: str,
    reason: str,
    after_seconds: float | None,
) -> JobState | None:
    """End an attempt that failed; ``after_seconds`` is None if another is of no use."""
    row = _held(connection, lease)
    if row is None:
        return None
    error = {"error_code": clean(code, 64), "error": clean(reason, _ERROR_CHARS)}
    if row.cancel_requested:
        return _end(connection, lease.scan.id, JobState.CANCELLED)
    if after_seconds is None or row.attempts >= rules.attempts_count:
        return _end(connection, lease.scan.id, JobState.FAILED, **error)
    asked_ms = min(max(0.0, after_seconds) * 1_000, _LONGEST_ASKED_MS)
    wait_ms = max(int(asked_ms), _back_off_ms(row.attempts))
    return _queue_again(connection, lease.scan.id, moment(connection) + wait_ms, **error)


def release(connection: Connection, lease: Lease, *, code: str, reason: str) -> JobState | None:
    """Give back a scan that was broken off for no fault of its own."""
    row = _held(connection, lease)
    if row is None:
        return None
    if row.cancel_requested:
        return _end(connection, lease.scan.id, JobState.CANCELLED)
    error = {"error_code": clean(code, 64), "error": clean(reason, _ERROR_CHARS)}
    return _queue_again(connection, lease.scan.id, moment(connection), **error)


def begin_finish(connection: Connection, lease: Lease) -> Row[Any] | None:
    """Return the scan, locked until the transaction ends, or None if its report is not wanted any more."""
    row = _held(connection, lease)
    if row is not None and row.cancel_requested:
        _end(connection, lease.scan.id, JobState.CANCELLED)
        return None
    return row


def end_with(connection: Connection, lease: Lease, report: ScanReport) -> None:
    """End a scan by its report."""
    code, error = "", ""
    if report.state is ScanState.FAILED:
        failed = next((image for image in report.images if image.error), None)
        issues = failed.coverage.issues if failed else ()
        code = issues[0].code if issues else "scanner-error"
        error = failed.error if failed else "no image could be scanned"
    _end(
        connection,
        lease.scan.id,
        JobState(report.state.value),
        progress=msgspec.json.encode(_cost(report)).decode(),
        digest=clean(report.digest, 160),
        fingerprint=report.fingerprint,
        error_code=clean(code, 64),
        error=clean(error, _ERROR_CHARS),
    )


def _cost(report: ScanReport) -> dict[str, Any]:
    """Return what a scan took, as ``ScanRecord.progress`` says."""
    layers = [layer for image in report.images for layer in image.layers if not layer.error]
    return {
        "stage_seconds": report.stage_seconds,
        "read_bytes": sum(layer.compressed_bytes for layer in layers if not layer.cached),
        "layers_count": len(layers),
        "cached_layers_count": sum(layer.cached for layer in layers),
    }


def _due(connection: Connection, rules: LeaseRules, now: int) -> tuple[ColumnElement[bool], ...]:
    """Return which scans may start now."""
    busy = (
        select(SCANS.c.registry)
        .where(_IS_SCANNING)
        .group_by(SCANS.c.registry)
        .having(func.count() >= rules.registry_parallel)
    )
    full = list(connection.scalars(busy))
    return (
        _IS_QUEUED,
        SCANS.c.not_before_at <= now,
        *([SCANS.c.registry.not_in(full)] if full else []),
    )


def _ran_out(now: int) -> tuple[ColumnElement[bool], ...]:
    return (_IS_SCANNING, SCANS.c.lease_until_at < now)


def _take_back(connection: Connection, rules: LeaseRules, now: int) -> None:
    """Queue scans again whose leases ran out; end those that were cancelled, or whose every attempt died."""
    ran_out = (
        select(SCANS.c.id, SCANS.c.attempts, SCANS.c.cancel_requested)
        .where(*_ran_out(now))
        .order_by(SCANS.c.id)
        .limit(_TAKEN_OVER_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    for row in connection.execute(ran_out).all():
        if row.cancel_requested:
            _end(connection, row.id, JobState.CANCELLED)
        elif row.attempts >= rules.attempts_count:
            error = f"the worker was killed or cut off in each of {row.attempts} attempts"
            _end(connection, row.id, JobState.FAILED, error_code=LOST_CODE, error=error)
        else:  # the first time it may have been any scan's fault: it does not wait
            wait_ms = _back_off_ms(row.attempts - 1) if row.attempts > 1 else 0
            _queue_again(connection, row.id, now + wait_ms)


def _is(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return (
        SCANS.c.id == lease.scan.id,
        _IS_SCANNING,
        SCANS.c.attempts == lease.attempt,
        SCANS.c.leased_by == lease.worker,
    )


def _held(connection: Connection, lease: Lease) -> Row[Any] | None:
    """Return the scan of a lease, locked until the transaction ends, or None if the lease is lost."""
    return connection.execute(select(SCANS).where(*_is(lease)).with_for_update()).first()


def _end(connection: Connection, scan_id: str, state: JobState, **values: Any) -> JobState:
    now = moment(connection)
    ended = {"state": state.value, "finished_at": now, **_FREE, **values}
    connection.execute(update(SCANS).where(SCANS.c.id == scan_id).values(ended))
    notify(connection)  # its registry has room for another
    return state


def _queue_again(
    connection: Connection, scan_id: str, not_before_at: int, **values: Any
) -> JobState:
    queued = {"state": _QUEUED, "not_before_at": not_before_at, **_FREE, **values}
    connection.execute(update(SCANS).where(SCANS.c.id == scan_id).values(queued))
    notify(connection)
    return JobState.QUEUED


def _back_off_ms(attempts: int) -> int:
    """Return how long to wait after so many attempts: doubling, and spread, so that not all come back at once."""
    whole = min(_FIRST_BACK_OFF_MS << min(attempts - 1, 20), _LONGEST_BACK_OFF_MS)
    return random.randint(whole // 2, whole)  # noqa: S311 - no secret


def notify(connection: Connection) -> None:
    """Tell who waits, when the transaction is done; on SQLite they see that it was."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(QUEUE_CHANNEL, "")))
