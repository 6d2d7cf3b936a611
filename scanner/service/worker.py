"""The worker: take a scan from the queue, do it, tell how it ended; one at a time, until told to stop.

The process is the unit of safety. Whatever a scan does to it, its lease runs out and another worker takes
the scan over; it ends by itself after a number of scans or above a size, and is started anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from scanner.errors import ScannerError, StoreError
from scanner.logs import log_fields
from scanner.model import ScanReport
from scanner.pipeline.context import ScanContext
from scanner.ports import JobState, Lease, LeaseState, WorkQueue
from scanner.service._attempt import Attempt, Failure, failure_of, passing_failure, task_of

T = TypeVar("T")

_TICK_SECONDS: Final = 1.0
"""Between two looks at a running scan, and so between two words on its progress."""
_LONGEST_BEAT_SECONDS: Final = 5.0
"""Between two heartbeats, so that a cancelled scan stops soon; a third of the lease if that is shorter."""
_FIRST_WAIT_SECONDS: Final = 0.25
_LONGEST_WAIT_SECONDS: Final = 16.0
_STORE_WAIT_SECONDS: Final = 2.0
_ASKED_SECONDS: Final = 30.0
"""A registry that asks for a longer wait gets it, by the queue: this worker has other scans to do."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Who works, and within which bounds."""

    name: str
    """Of this process; no other has it."""
    is_allowed: Callable[[str], bool]
    """Whether a registry (``host[:port]``) may be asked."""
    lease_seconds: float = 60.0
    attempts_count: int = 5
    """Tries that the queue grants; the last one's report counts, even if another might see more."""
    drain_seconds: float = 25.0
    """For the running scan, once told to stop."""
    stop_seconds: float = 3.0
    """For a scan that was told to stop; a longer one is left to the end of the process."""
    idle_seconds: float = 2.0
    """Longest wait for work before looking whether to stop."""
    scans_count: int = 500
    """Scans after which the process ends, to be started anew."""
    memory_bytes: int = 1024**3
    """Resident size above which it ends likewise, between scans."""


class WorkerEnd(StrEnum):
    """Why a worker returned."""

    STOPPED = "stopped"  # it was told to; a scan that was given back may still be ending
    RECYCLED = "recycled"  # enough scans or too large
    STUCK = "stuck"  # a scan that does not stop: end the process now


def run_worker(
    queue: WorkQueue, context: ScanContext, options: WorkerOptions, stop: threading.Event
) -> WorkerEnd:
    """Do scans, one at a time, until ``stop`` is set or the process is used up. Raises nothing on purpose.

    ``stop`` may be set in a signal handler: it is never waited for.
    """
    sources = dataclasses.replace(context.source_options, longest_wait_seconds=_ASKED_SECONDS)
    patient = dataclasses.replace(context, source_options=sources)
    with contextlib.suppress(ScannerError):  # the first scan tells of it, with its id
        _ = patient.layer_scanner  # ready before somebody waits for it
    _LOG.info("worker begins", extra={"worker": options.name})
    end, done_count = _work_on(queue, patient, options, stop)
    extra = {"worker": options.name, "why": end.value, "scans_count": done_count}
    _LOG.info("worker ends", extra=extra)
    return end


def _work_on(
    queue: WorkQueue, context: ScanContext, options: WorkerOptions, stop: threading.Event
) -> tuple[WorkerEnd, int]:
    """Return why it ended, and how many scans were done."""
    done_count = 0
    while not stop.is_set():
        if done_count >= options.scans_count or _resident_bytes() > options.memory_bytes:
            return WorkerEnd.RECYCLED, done_count
        lease = _next_lease(queue, options, stop)
        if lease is None:
            continue
        with log_fields(scan_id=lease.scan.id):
            has_ended = _Work(queue, lease, options, stop).do(context)
        if not has_ended and not stop.is_set():
            return WorkerEnd.STUCK, done_count
        done_count += 1
    return WorkerEnd.STOPPED, done_count


def _next_lease(queue: WorkQueue, options: WorkerOptions, stop: threading.Event) -> Lease | None:
    """Return a lease, or None after a while without work, or without an answer of the database."""
    try:
        lease = queue.lease(options.name)
        if lease is None:
            queue.wait(options.idle_seconds)
    except StoreError as error:
        _LOG.warning("the queue does not answer", extra={"code": error.code})
        _pause(_STORE_WAIT_SECONDS, stop)
        return None
    return lease


def _pause(seconds: float, stop: threading.Event) -> None:
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _FIRST_WAIT_SECONDS))


class _Work:
    """One lease: follow the scan until it ends or must end, then tell the queue."""

    def __init__(
        self, queue: WorkQueue, lease: Lease, options: WorkerOptions, stop: threading.Event
    ) -> None:
        self._queue = queue
        self._lease = lease
        self._options = options
        self._stop = stop
        self._began = time.monotonic()

    def do(self, context: ScanContext) -> bool:
        """Return whether the scan's thread has ended."""
        record = self._lease.scan
        _LOG.info(
            "scan begins",
            extra={"registry": record.registry, "repository": record.repository, "tag": record.tag}
            | {"digest": record.digest, "attempt": self._lease.attempt},
        )
        try:
            attempt = Attempt(task_of(record, self._options.is_allowed), context)
        except ScannerError as error:
            self._fail(failure_of(error))
            return True
        attempt.start()
        why = self._follow(attempt)
        is_over = attempt.stop(self._options.stop_seconds)
        if attempt.report is not None and why in (None, LeaseState.HELD):
            self._finish(attempt.report)
        elif why is None and attempt.failure is not None:
            self._fail(attempt.failure)
        else:
            self._tell_stopped(why)
        return is_over

    def _follow(self, attempt: Attempt) -> LeaseState | None:
        """Return None when the scan has ended, else why it must stop: HELD if the worker must."""
        beat_seconds = min(self._options.lease_seconds / 3, _LONGEST_BEAT_SECONDS)
        next_beat = time.monotonic() + beat_seconds
        told, drained_at = attempt.progress.snapshot(), 0.0
        while not attempt.over.wait(min(_TICK_SECONDS, beat_seconds)):
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + beat_seconds
                state = self._heartbeat()
                if state is not LeaseState.HELD:
                    return state
            if (seen := attempt.progress.snapshot()) != told:
                told = seen
                self._tell_progress(*seen)
            if self._stop.is_set():
                drained_at = drained_at or now + self._options.drain_seconds
                if now >= drained_at:
                    return LeaseState.HELD
        return None

    def _heartbeat(self) -> LeaseState:
        try:
            return self._queue.heartbeat(self._lease)
        except StoreError as error:
            # Whether the lease was lost meanwhile is told when the database answers again.
            _LOG.warning("no heartbeat", extra={"code": error.code})
            return LeaseState.HELD

    def _tell_progress(self, stage: str, counts: dict[str, int]) -> None:
        try:
            self._queue.progress(self._lease, stage, counts)
        except StoreError as error:
            _LOG.warning("progress not told", extra={"code": error.code})

    def _finish(self, report: ScanReport) -> None:
        passing = passing_failure(report)
        if passing is not None and self._lease.attempt < self._options.attempts_count:
            self._fail(passing)
            return
        try:
            is_stored = self._insist(lambda: self._queue.finish(self._lease, report))
        except StoreError as error:
            self._fail(failure_of(error))
            return
        _LOG.info(
            "scan finished" if is_stored else "scan finished too late",
            extra={"state": report.state.value, "digest": report.digest, **self._seconds()},
        )

    def _tell_stopped(self, why: LeaseState | None) -> None:
        if why is LeaseState.LOST:
            _LOG.warning("the lease was lost", extra=self._seconds())
            return
        if why is LeaseState.CANCELLED:
            self._fail(Failure("cancelled", "the scan was cancelled", retryable=False))
        elif why is LeaseState.OVERDUE:
            self._fail(Failure("limit-exceeded", "the scan took too long", retryable=False))
        else:
            code, reason = "interrupted", "the worker was told to stop"
            self._end(code, lambda: self._queue.release(self._lease, code, reason))

    def _fail(self, failure: Failure) -> None:
        self._end(
            failure.code,
            lambda: self._queue.fail(
                self._lease,
                failure.code,
                failure.reason,
                retryable=failure.retryable,
                after_seconds=failure.after_seconds,
            ),
        )

    def _end(self, code: str, tell: Callable[[], JobState | None]) -> None:
        try:
            state = self._insist(tell)
        except StoreError as error:
            _LOG.error("the queue was not told", extra={"code": error.code})
            return
        level = logging.WARNING if state is JobState.FAILED else logging.INFO
        shown = state.value if state else "lost"
        extra = {"code": code, "state": shown, **self._seconds()}
        _LOG.log(level, "scan ended without a report", extra=extra)

    def _insist(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, tried again while the lease can still be ours.

        Raises:
            StoreError: the last try's.
        """
        until = time.monotonic() + self._options.lease_seconds / 2
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                return call()
            except StoreError as error:
                if time.monotonic() + wait_seconds > until:
                    raise
                _LOG.warning("the queue does not answer", extra={"code": error.code})
            time.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)

    def _seconds(self) -> dict[str, float]:
        return {"seconds": round(time.monotonic() - self._began, 3)}


def _resident_bytes() -> int:
    """Return how much memory this process holds; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
