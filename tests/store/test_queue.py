from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from support.queueing import (
    change,
    enqueue,
    enqueue_numbers,
    report_of,
    rows,
    scans,
    transaction,
    wish,
)

from scanner.model import ScanState
from scanner.ports.service import JobState, LeaseState, Priority, WorkQueue
from scanner.store._scans import cancel
from scanner.store._tables import IMAGES
from scanner.store.queue import open_queue


@pytest.fixture
def opened(where):
    queues = []

    def opening(**more):
        queues.append(open_queue(where, **more))
        return queues[-1]

    yield opening
    for queue in queues:
        queue.close()


@pytest.fixture
def queue(opened) -> WorkQueue:
    return opened()


def order(queue, count):
    return [queue.lease("w").scan.digest[-1] for _ in range(count)]


def cancelled(where, scan_id):
    with transaction(where) as connection:
        return cancel(connection, scan_id)


# Taking


def test_nothing_to_do(queue):
    assert queue.lease("w") is None


def test_the_first_in_line_goes_first(opened, where):
    enqueue(where, wish(1, priority=Priority.BACKGROUND), wish(2))
    enqueue(where, wish(3))
    enqueue(where, wish(4, priority=Priority.WAITING))
    queue = opened()
    assert order(queue, 4) == ["4", "2", "3", "1"]
    assert queue.lease("w") is None


def test_a_lease_says_what_to_do(queue, where):
    [enqueued] = enqueue(where, wish(1, platforms=("linux/arm64",), requested_by="webhook/x"))
    lease = queue.lease("w")
    scan = lease.scan
    assert (scan.id, lease.worker, lease.attempt) == (enqueued.id, "w", 1)
    assert (scan.registry, scan.repository, scan.platforms) == (
        "reg.example",
        "a/b",
        ("linux/arm64",),
    )
    assert (scan.state, scan.attempts, scan.leased_by) == (JobState.SCANNING, 1, "w")
    assert scans(where) == {scan.id: scan}


def test_one_registry_at_its_limit_does_not_hold_up_others(opened, where):
    queue = opened(registry_parallel=2)
    enqueue(where, *(wish(n) for n in range(4)), wish(9, registry="other.example"))
    held = [queue.lease("w") for _ in range(3)]
    assert [lease.scan.registry for lease in held] == ["reg.example"] * 2 + ["other.example"]
    assert queue.lease("w") is None
    assert queue.finish(held[0], report_of(held[0].scan.digest))
    assert queue.lease("w").scan.registry == "reg.example"


def test_not_before_its_time(queue, where):
    first, second = enqueue_numbers(where, 2)
    change(where, first, not_before_at=int(time.time() * 1000) + 60_000)
    assert queue.lease("w").scan.id == second
    assert queue.lease("w") is None


# Leases that run out


def test_a_lease_that_ran_out_is_taken_over(opened, where):
    [scan_id] = enqueue_numbers(where, 1)
    queue = opened(lease_seconds=0.05)
    first = queue.lease("a")
    time.sleep(0.1)
    second = queue.lease("b")
    assert (first.scan.id, second.scan.id, second.attempt) == (scan_id, scan_id, 2)
    assert queue.heartbeat(first) is LeaseState.LOST
    assert queue.fail(first, "x", "y", retryable=True) is None
    assert queue.finish(first, report_of(first.scan.digest)) is False
    queue.progress(first, "extract", {"layers": 1})
    assert rows(where, IMAGES) == []
    assert scans(where)[scan_id].stage == ""
    assert queue.finish(second, report_of(second.scan.digest)) is True
    assert queue.finish(second, report_of(second.scan.digest)) is False


def test_a_heartbeat_keeps_it(opened, where):
    def beat_for(seconds, lease):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert queue.heartbeat(lease) is LeaseState.HELD
            time.sleep(0.05)

    queue = opened(lease_seconds=1.0)
    other = opened(lease_seconds=1.0)
    enqueue_numbers(where, 1)
    lease = queue.lease("a")
    beat_for(1.3, lease)
    assert other.lease("b") is None


def test_one_whose_every_attempt_died_is_failed(opened, where):
    [scan_id] = enqueue_numbers(where, 1)
    queue = opened(attempts_count=2)
    for _ in range(2):
        assert queue.lease("w").scan.id == scan_id
        change(where, scan_id, lease_until_at=0)
    assert queue.lease("w") is None
    scan = scans(where)[scan_id]
    assert (scan.state, scan.error_code, scan.attempts) == (JobState.FAILED, "worker-lost", 2)
    assert "2 attempts" in scan.error
    assert scan.finished_at is not None
    assert enqueue(where, wish(0))[0].id != scan_id


def test_the_second_death_waits(opened, where):
    [scan_id] = enqueue_numbers(where, 1)
    queue = opened()
    for _ in range(2):
        assert queue.lease("w").scan.id == scan_id
        change(where, scan_id, lease_until_at=0)
    assert queue.lease("w") is None
    assert scans(where)[scan_id].state is JobState.QUEUED


# Ending


@pytest.mark.parametrize("state", list(ScanState))
def test_finish(queue, where, state):
    enqueue(where, wish(tag="v1"))
    lease = queue.lease("w")
    report = report_of("sha256:" + "7" * 64, state=state)
    assert queue.finish(lease, report) is True
    scan = scans(where)[lease.scan.id]
    assert (scan.state, scan.digest, scan.fingerprint) == (
        JobState(state.value),
        report.digest,
        report.fingerprint,
    )
    assert scan.finished_at is not None
    assert (scan.error_code, bool(scan.error)) == (
        ("scanner-error", True) if state is ScanState.FAILED else ("", False)
    )
    assert [row["digest"] for row in rows(where, IMAGES)] == [report.digest]


def test_what_can_pass_is_tried_again_later(queue, where):
    enqueue_numbers(where, 1)
    lease = queue.lease("w")
    assert queue.fail(lease, "upstream-error", "503", retryable=True) is JobState.QUEUED
    scan = scans(where)[lease.scan.id]
    assert (scan.state, scan.error_code, scan.error) == (JobState.QUEUED, "upstream-error", "503")
    wait = scan.not_before_at - scan.started_at
    assert timedelta(seconds=4) < wait < timedelta(seconds=11)
    assert queue.lease("w") is None


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        pytest.param(120.0, 119, 122, id="as_asked"),
        pytest.param(-5.0, 4, 11, id="negative"),
        pytest.param(1e12, 86_399, 86_402, id="beyond_reason"),
        pytest.param(float("inf"), 86_399, 86_402, id="infinite"),
    ],
)
def test_retry_after(queue, where, asked, least, most):
    enqueue_numbers(where, 1)
    lease = queue.lease("w")
    queue.fail(lease, "upstream-error", "429", retryable=True, after_seconds=asked)
    scan = scans(where)[lease.scan.id]
    assert timedelta(seconds=least) < scan.not_before_at - scan.started_at < timedelta(seconds=most)


def test_what_cannot_pass_is_not_tried_again(queue, where):
    enqueue_numbers(where, 1)
    lease = queue.lease("w")
    state = queue.fail(lease, "not-found", "no such \0 manifest", retryable=False)
    scan = scans(where)[lease.scan.id]
    assert state is scan.state is JobState.FAILED
    assert (scan.error_code, scan.error) == ("not-found", "no such \ufffd manifest")


def test_tries_are_bounded(opened, where):
    [scan_id] = enqueue_numbers(where, 1)
    queue = opened(attempts_count=3)
    states = []
    for _ in range(3):
        states.append(queue.fail(queue.lease("w"), "upstream-error", "503", retryable=True))
        change(where, scan_id, not_before_at=0)
    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    assert queue.lease("w") is None


def test_released_is_due_at_once_on_its_last_attempt_too(opened, where):
    [scan_id] = enqueue_numbers(where, 1)
    queue = opened(attempts_count=1)
    lease = queue.lease("w")
    assert queue.release(lease, "interrupted", "the worker was told to stop") is JobState.QUEUED
    assert queue.release(lease, "interrupted", "again") is None
    again = queue.lease("w")
    assert (again.scan.id, again.attempt) == (scan_id, 2)
    assert queue.heartbeat(lease) is LeaseState.LOST
    cancelled(where, scan_id)
    assert queue.release(again, "interrupted", "") is JobState.CANCELLED


# Cancelling and time limits


def test_cancelled_while_it_runs(queue, where):
    enqueue_numbers(where, 2)
    first, second = queue.lease("w"), queue.lease("w")
    assert cancelled(where, first.scan.id)
    assert cancelled(where, second.scan.id)
    assert queue.heartbeat(first) is LeaseState.CANCELLED
    assert queue.fail(first, "cancelled", "asked to", retryable=True) is JobState.CANCELLED
    assert queue.finish(second, report_of(second.scan.digest)) is False
    assert {scan.state for scan in scans(where).values()} == {JobState.CANCELLED}
    assert rows(where, IMAGES) == []
    assert queue.heartbeat(first) is LeaseState.LOST


def test_cancelled_and_its_worker_died(queue, where):
    [scan_id] = enqueue_numbers(where, 1)
    queue.lease("w")
    cancelled(where, scan_id)
    change(where, scan_id, lease_until_at=0)
    assert queue.lease("w") is None
    assert scans(where)[scan_id].state is JobState.CANCELLED


def test_a_cancelled_one_that_waits_is_not_leased(queue, where):
    [scan_id] = enqueue_numbers(where, 1)
    cancelled(where, scan_id)
    assert queue.lease("w") is None


def test_overdue(opened, where):
    enqueue_numbers(where, 1)
    queue = opened(scan_seconds=0.05)
    lease = queue.lease("w")
    until = scans(where)[lease.scan.id]
    time.sleep(0.1)
    assert queue.heartbeat(lease) is LeaseState.OVERDUE
    assert queue.fail(lease, "limit-exceeded", "scan_seconds", retryable=False) is JobState.FAILED
    assert until.state is JobState.SCANNING


def test_progress(queue, where):
    enqueue_numbers(where, 1)
    lease = queue.lease("w")
    queue.progress(lease, "extract", {"layers_done": 1, "text": "a\0b"})
    scan = scans(where)[lease.scan.id]
    assert (scan.stage, scan.progress) == ("extract", {"layers_done": 1, "text": "a\0b"})


# Waiting


def test_waiting_ends_when_something_is_queued(queue, where):
    began = time.monotonic()
    thread = threading.Timer(0.2, enqueue, (where, wish(1)))
    thread.start()
    queue.wait(20)
    thread.join()
    assert time.monotonic() - began < 15
    assert queue.lease("w") is not None


def test_waiting_ends_at_once_if_there_is_something(queue, where):
    enqueue_numbers(where, 1)
    queue.wait(60)


def test_waiting_ends_when_a_lease_runs_out_or_a_wait_is_over(opened, where):
    first, second = enqueue_numbers(where, 2)
    queue = opened(lease_seconds=0.2)
    queue.lease("w")
    change(where, second, not_before_at=int(time.time() * 1000) + 600_000)
    queue.wait(60)
    assert queue.lease("w").scan.id == first
    change(where, first, lease_until_at=int(time.time() * 1000) + 600_000)
    change(where, second, not_before_at=int(time.time() * 1000) + 200)
    queue.wait(60)
    assert queue.lease("w").scan.id == second


def test_waiting_ends_when_its_registry_has_room(opened, where):
    queue = opened(registry_parallel=1)
    enqueue_numbers(where, 2)
    lease = queue.lease("w")
    queue.wait(0.01)
    thread = threading.Timer(0.2, queue.finish, (lease, report_of(lease.scan.digest)))
    thread.start()
    queue.wait(60)
    thread.join()
    assert queue.lease("w") is not None


def test_waiting_ends_in_time(queue):
    queue.wait(0)
    queue.wait(0.1)


def test_threads_may_wait_together(queue, where):
    threads = [threading.Thread(target=queue.wait, args=(20,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    enqueue_numbers(where, 1)
    for thread in threads:
        thread.join(timeout=15)
    assert not any(thread.is_alive() for thread in threads)


def test_closing_twice(queue):
    queue.wait(0)
    queue.close()
    queue.close()
