"""Workers as processes: killed, told to stop, and many at once. Nothing is lost, and nothing done twice."""

from __future__ import annotations

import collections
import contextlib
import signal
import threading
from datetime import UTC, datetime

import pytest
from support.faulty_registry import start_faulty_registry
from support.service import Service, app_image, wait_for

from scanner.ports import JobState

ONE, TWO = app_image("one"), app_image("two")


class Gate:
    """Holds back layers until told; counts what is asked for."""

    def __init__(self):
        self.is_open = threading.Event()
        self.asked_for = collections.Counter()
        self.is_asked = threading.Event()

    def __call__(self, seen):
        self.asked_for[seen.path.rpartition("/")[2]] += 1
        if "/blobs/" in seen.path:
            self.is_asked.set()
            self.is_open.wait(60)


@pytest.fixture
def faulty():
    with start_faulty_registry() as running:
        running.serve(ONE, "team/app", "1")
        running.serve(TWO, "team/app", "2")
        running.gate = Gate()
        yield running
        running.gate.is_open.set()


@pytest.fixture
def service(tmp_path, where, shared_cache):
    """On both databases; a lease is short, so that others need not wait long for a dead worker's."""
    made = Service(where, tmp_path / "home", shared_cache)
    made.more["queue_lease_seconds"] = 3
    return made


def push(service, faulty, one):
    return service.push(f"{faulty.host}/team/app@{one.digest}")


def test_killed_in_the_middle(faulty, service):
    scan_id = push(service, faulty, ONE)
    with service.worker() as killed:
        faulty.gate.is_asked.wait(60)
        assert service.scan(scan_id).state is JobState.SCANNING
        killed.kill()
    with service.worker():
        faulty.gate.is_open.set()
        record = service.until(scan_id, "complete", "failed")
    assert (record.state, record.attempts) == (JobState.COMPLETE, 2)
    assert service.ask(lambda store: store.image(ONE.digest)).packages_count == 1


def test_told_to_stop_it_finishes_what_it_does(faulty, service):
    first, second = push(service, faulty, ONE), push(service, faulty, TWO)
    with service.worker() as worker:
        faulty.gate.is_asked.wait(60)
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGTERM)  # a service manager may say it twice
        faulty.gate.is_open.set()
        assert worker.wait(60) == 0
    assert service.scan(first).state is JobState.COMPLETE
    record = service.scan(second)
    assert (record.state, record.attempts) == (JobState.QUEUED, 0)


def test_told_to_stop_it_gives_back_what_takes_too_long(faulty, service):
    """Being interrupted is no fault of the scan: it is done though this was its only attempt."""
    service.more["queue_attempts_count"] = 1
    scan_id = push(service, faulty, ONE)
    with service.worker(server_drain_seconds="0.1") as worker:
        faulty.gate.is_asked.wait(60)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    record = service.scan(scan_id)
    assert (record.state, record.error_code) == (JobState.QUEUED, "interrupted")
    assert record.not_before_at <= datetime.now(UTC)
    faulty.gate.is_open.set()
    with service.worker():
        assert service.until(scan_id, "complete", "failed").state is JobState.COMPLETE


def test_idle_it_stops_at_once(service):
    with service.worker() as worker:
        wait_for(lambda: "worker begins" in service.logs())
        worker.send_signal(signal.SIGINT)
        assert worker.wait(60) == 0


def test_four_at_once_scan_nothing_twice(faulty, service):
    images = [app_image(f"n{number}") for number in range(16)]
    for number, one in enumerate(images):
        faulty.serve(one, f"team/app{number}", "1")
    faulty.gate.is_open.set()
    ids = [
        service.push(f"{faulty.host}/team/app{number}@{one.digest}")
        for number, one in enumerate(images)
    ]
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(service.worker(queue_lease_seconds=60))
        records = [service.until(scan_id, "complete", "failed") for scan_id in ids]
    assert {(r.state, r.attempts) for r in records} == {(JobState.COMPLETE, 1)}
    assert [faulty.gate.asked_for[one.digest] for one in images] == [1] * 16
    assert len({r.leased_by for r in records} - {""}) <= 4


def test_killed_at_any_time_nothing_is_lost(faulty, service):
    """A worker is killed whenever one has begun a scan, four times; the last ones are left alone."""
    service.more["queue_lease_seconds"] = 1.5
    images = [app_image(f"k{number}") for number in range(8)]
    for number, one in enumerate(images):
        faulty.serve(one, f"team/app{number}", "1")
    ids = [
        service.push(f"{faulty.host}/team/app{number}@{one.digest}")
        for number, one in enumerate(images)
    ]
    for _ in range(4):
        faulty.gate.is_asked.clear()
        with service.worker() as worker:
            faulty.gate.is_asked.wait(60)
            worker.kill()
    faulty.gate.is_open.set()
    with service.worker(), service.worker():
        records = [service.until(scan_id, "complete", "failed") for scan_id in ids]
    assert {r.state for r in records} == {JobState.COMPLETE}
    assert sum(r.attempts for r in records) == len(ids) + 4
    known = service.ask(lambda store: store.images([one.digest for one in images]))
    assert len(known) == len(images)


def test_logs_name_the_scan_and_no_secret(faulty, service):
    service.more["server_allowed_registries"] = faulty.host
    service.more["registry_username"] = "u"
    service.more["registry_password"] = secret = "pass" + "word-1"
    faulty.gate.is_open.set()
    scan_id = push(service, faulty, ONE)
    with service.worker():
        service.until(scan_id, "complete", "failed")
    lines = [line for line in service.logs().splitlines() if "scan " in line]
    assert len(lines) >= 2
    assert all(f"scan_id={scan_id}" in line for line in lines)
    assert secret not in service.logs()
