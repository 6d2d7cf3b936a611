"""The work queue: the table of scans, leased one at a time to workers in any process.

There is no second record of what is to be done: a scan's row says whether it waits, who does it and until
when. A report and the end of its scan are written in one transaction.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from scanner.model import ScanReport
from scanner.ports.service import JobState, Lease, LeaseState, WorkQueue
from scanner.store import _leases
from scanner.store._backend import Backend, parse_where
from scanner.store._database import open_database
from scanner.store._errors import store_errors
from scanner.store._image_rows import Contents
from scanner.store._images import prepare
from scanner.store._record import record_scan
from scanner.store._transactions import transact

_P = ParamSpec("_P")
_R = TypeVar("_R")

_POLL_SECONDS: Final = 0.05
_PAUSES_PER_LOOK: Final = 9


class SqlQueue:
    """A ``scanner.ports.WorkQueue``; every method raises ``StoreError`` only."""

    def __init__(
        self, engine: Engine, signal: _Signal, rules: _leases.LeaseRules, where: str
    ) -> None:
        """Use :func:`open_queue`."""
        self._engine = engine
        self._signal = signal
        self._rules = rules
        self._where = where
        self._waiting = threading.Lock()

    def lease(self, worker: str) -> Lease | None:
        """Take the scan that is to be done next; see ``scanner.ports.WorkQueue``."""
        if not self._is_waiting():  # reading is cheap, and stands in nobody's way
            return None
        return self._write(_leases.take, worker, self._rules)

    def wait(self, seconds: float) -> None:
        """Return when there may be something to lease, at the latest after ``seconds``."""
        deadline = time.monotonic() + seconds
        if not self._waiting.acquire(timeout=max(0.0, seconds)):
            return
        try:
            with store_errors(self._where):
                self._wait(deadline)
        finally:
            self._waiting.release()

    def heartbeat(self, lease: Lease) -> LeaseState:
        """Extend a lease."""
        return self._write(_leases.extend, lease, self._rules)

    def progress(self, lease: Lease, stage: str, progress: Mapping[str, Any]) -> None:
        """Tell how far a scan is; ignored if the lease is lost."""
        self._write(_leases.tell_progress, lease, stage, progress)

    def finish(self, lease: Lease, report: ScanReport) -> bool:
        """Store the report and end the scan, both or neither.

        False: the lease is lost, or the scan was cancelled and is ended as that; nothing is stored.
        """
        with store_errors(self._where):
            contents = prepare(report)
        return self._write(_finish, lease, report, contents)

    def fail(
        self, lease: Lease, code: str, reason: str, *, retryable: bool, after_seconds: float = 0.0
    ) -> JobState | None:
        """End an attempt; see ``scanner.ports.WorkQueue``."""
        wait_seconds = after_seconds if retryable else None
        return self._write(
            _leases.give_back, lease, self._rules,
            code=code, reason=reason, after_seconds=wait_seconds,
        )  # fmt: skip

    def release(self, lease: Lease, code: str, reason: str) -> JobState | None:
        """Give back a scan that was broken off for no fault of its own; see ``scanner.ports.WorkQueue``."""
        return self._write(_leases.release, lease, code=code, reason=reason)

    def close(self) -> None:
        """Close every connection; leases that are held run out. Safe to call twice."""
        self._signal.close()
        self._engine.dispose()

    def _is_waiting(self) -> bool:
        with store_errors(self._where), self._engine.connect() as connection:
            return _leases.is_waiting(connection, self._rules)

    def _wait(self, deadline: float) -> None:
        """Wait for changes until one of them, or the time, gives something to do."""
        while True:
            self._signal.mark()  # what changes from here on ends the wait
            began = time.monotonic()
            with self._engine.connect() as connection:
                if _leases.is_waiting(connection, self._rules):
                    return
                next_ms = _leases.next_moment_ms(connection)
            looked_until = time.monotonic()
            left = deadline - looked_until
            if left <= 0:
                return
            due = left if next_ms is None else next_ms / 1_000 + 0.001
            # A long queue of a busy registry is long to look through: that must not take all the time.
            pause = min(left, _PAUSES_PER_LOOK * (looked_until - began))
            time.sleep(pause)
            self._signal.wait(min(left, due) - pause)

    def _write(
        self,
        move: Callable[Concatenate[Connection, _P], _R],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        with store_errors(self._where):
            return transact(self._engine, move, *args, **kwargs)


def _finish(
    connection: Connection, lease: Lease, report: ScanReport, contents: Mapping[str, Contents]
) -> bool:
    row = _leases.begin_finish(connection, lease)
    if row is None:
        return False
    record_scan(
        connection,
        report,
        at_ms=_leases.moment(connection),
        registry=row.registry,
        repository=row.repository,
        tag="" if row.digest else row.tag,
        resolved_at_ms=row.started_at,
        is_whole=not row.platforms,
        contents=contents,
    )
    _leases.end_with(connection, lease, report)
    return True


class _Signal(Protocol):
    """How a change of the database is noticed."""

    def mark(self) -> None:
        """Begin to notice."""

    def wait(self, seconds: float) -> None:
        """Return when something has changed since the mark, at the latest after ``seconds``."""

    def close(self) -> None:
        """End it."""


class _SqliteSignal:
    """Look at the file's version: it changes with every commit of another connection.

    Source: https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._raw: sqlite3.Connection | None = None
        self._version = 0

    def mark(self) -> None:
        """Note the version as it is."""
        if self._raw is None:
            pooled = self._engine.raw_connection()
            self._raw = pooled.driver_connection
            pooled.detach()
        self._version = self._read()

    def wait(self, seconds: float) -> None:
        """Return when the version is another."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._read() == self._version:
            time.sleep(min(left, _POLL_SECONDS))

    def close(self) -> None:
        """Close the connection."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def _read(self) -> int:
        assert self._raw is not None  # noqa: S101 - marked before
        with closing(self._raw.cursor()) as cursor:
            cursor.execute("PRAGMA data_version")
            return int(cursor.fetchone()[0])


def _signal_of(backend: Backend, engine: Engine) -> _Signal:
    if backend.postgresql is None:
        return _SqliteSignal(engine)
    from scanner.store._postgresql import Listener  # noqa: PLC0415 - the driver costs 0.1 s

    return Listener(backend)


def open_queue(
    where: str | Path,
    *,
    lease_seconds: float = 60.0,
    attempts_count: int = 5,
    registry_parallel: int = 4,
    scan_seconds: float = 7_200.0,
) -> WorkQueue:
    """Open the queue of a store: a directory, or a ``postgresql://`` URL; made if it is not there.

    A lease lasts ``lease_seconds`` without a heartbeat. A scan is tried ``attempts_count`` times; of one
    registry at most ``registry_parallel`` are done at once, by whichever workers. A lease is not extended
    beyond ``scan_seconds`` from its start.

    Raises:
        StoreError: as :func:`scanner.store.open_store`.
    """
    backend = parse_where(where)
    rules = _leases.LeaseRules(
        lease_seconds=lease_seconds,
        attempts_count=attempts_count,
        registry_parallel=registry_parallel,
        scan_seconds=scan_seconds,
    )
    engine = open_database(backend)
    return SqlQueue(engine, _signal_of(backend, engine), rules, backend.shown)
