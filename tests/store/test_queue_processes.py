"""Workers in processes of their own, killed at any time: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from support import queueing
from support.queueing import change, enqueue, enqueue_numbers, report_of, rows, scans, wish

from scanner.errors import StoreError
from scanner.ports.service import JobState, LeaseState
from scanner.store import open_store
from scanner.store._tables import FINDINGS, IMAGE_PACKAGES, IMAGES
from scanner.store.queue import open_queue

TESTS = Path(__file__).parents[1]
SCANS = 30


@contextmanager
def process(*arguments):
    """Run a worker; in the end it is killed, and does not outlive the test."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    command = [sys.executable, queueing.__file__, *map(str, arguments)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def assert_all_done_once(where, log, ids):
    """Every scan is over, and its results are whole: one image, all its findings and packages."""
    assert {scan.state for scan in scans(where).values()} == {JobState.PARTIAL}
    assert len(rows(where, IMAGES)) == len(ids)
    image = report_of("sha256:1").images[0]
    for table, expected in ((FINDINGS, len(image.findings)), (IMAGE_PACKAGES, len(image.packages))):
        counts = Counter(row["image_key"] for row in rows(where, table))
        assert set(counts.values()) == {expected}
        assert len(counts) == len(ids)
    ended = Counter(log.read_text().split())
    assert set(ended.values()) == {1}
    return ended


def test_many_workers_share_the_queue(where, tmp_path):
    ids = enqueue_numbers(where, SCANS)
    log = tmp_path / "log"
    log.touch()
    with (
        process("work", where, log, 60) as one,
        process("work", where, log, 60) as two,
        process("work", where, log, 60) as three,
    ):
        assert [p.wait(timeout=120) for p in (one, two, three)] == [0, 0, 0]
    assert assert_all_done_once(where, log, ids).keys() == set(ids)
    assert {scan.attempts for scan in scans(where).values()} == {1}


def test_workers_killed_at_any_time(where, tmp_path):
    """A scan whose worker dies in the middle of storing its report is done again, whole."""
    ids = enqueue_numbers(where, SCANS)
    log = tmp_path / "log"
    log.touch()
    seed = random.Random(3)
    for _ in range(3):
        with process("work", where, log, 1) as one, process("work", where, log, 1) as two:
            _wait_for_work(log, one, two)
            time.sleep(seed.random() / 5)
            one.kill()
            time.sleep(seed.random() / 20)
    with process("work", where, log, 1) as last:
        assert last.wait(timeout=120) == 0
    ended = assert_all_done_once(where, log, ids)
    # Who was killed between the commit and the line in the log could not tell that it was done.
    assert len(ended) >= len(ids) - 6


def _wait_for_work(log, *workers):
    before = log.stat().st_size
    until = time.monotonic() + 10
    while log.stat().st_size == before and time.monotonic() < until:
        time.sleep(0.01)
        if all(worker.poll() is not None for worker in workers):
            return


def test_the_lease_of_a_killed_worker_is_taken_over(where):
    [scan_id] = enqueue_numbers(where, 1)
    queue = open_queue(where)
    with process("hold", where) as holder:
        assert holder.stdout.readline().strip() == scan_id
        assert queue.lease("w") is None
        holder.kill()
        holder.wait()
        queue.wait(30)
        assert queue.lease("w").attempt == 2
    queue.close()


def test_killed_with_everything_written_but_the_end(where):
    """The report is in the database's hands, the commit is not: nothing of it may be seen."""
    [scan_id] = enqueue_numbers(where, 1)
    with process("stall", where) as worker:
        assert worker.stdout.readline() == "written\n"
        worker.kill()
        worker.wait()
    assert rows(where, IMAGES) == []
    assert scans(where)[scan_id].state is JobState.SCANNING
    change(where, scan_id, lease_until_at=0)
    queue = open_queue(where)
    lease = queue.lease("w")
    assert (lease.scan.id, lease.attempt) == (scan_id, 2)
    assert queue.finish(lease, report_of(lease.scan.digest))
    queue.close()
    assert len(rows(where, IMAGES)) == 1


def test_a_stopped_worker_that_wakes_up_has_lost_its_lease(where, tmp_path):
    """It was not dead, only slow: what it tells must not count."""
    [scan_id] = enqueue_numbers(where, 1)
    queue = open_queue(where)
    with process("hold", where) as holder:
        assert holder.stdout.readline().strip() == scan_id
        holder.send_signal(signal.SIGSTOP)
        queue.wait(30)
        lease = queue.lease("w")
        holder.send_signal(signal.SIGCONT)
        assert queue.heartbeat(lease) is LeaseState.HELD
        assert queue.finish(lease, report_of(lease.scan.digest))
    queue.close()
    assert scans(where)[scan_id].state is JobState.PARTIAL


def test_the_limit_of_a_registry_is_exact_whoever_leases(where):
    enqueue(where, *(wish(n) for n in range(30)))
    queues = [open_queue(where, registry_parallel=3) for _ in range(4)]
    leases = []

    def lease_all(queue):
        leases.extend(queue.lease("w") for _ in range(10))

    threads = [threading.Thread(target=lease_all, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for queue in queues:
        queue.close()
    assert len([lease for lease in leases if lease is not None]) == 3


def test_images_that_share_packages_are_stored_at_once(where):
    """Writers of the same rows wait for each other; none is refused."""
    enqueue(where, *(wish(n) for n in range(24)))
    queues = [open_queue(where, registry_parallel=24) for _ in range(4)]
    stored = []

    def work(queue):
        while (lease := queue.lease("w")) is not None:
            stored.append(queue.finish(lease, report_of(lease.scan.digest)))

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for queue in queues:
        queue.close()
    assert stored == [True] * 24


def test_one_image_stored_by_many_at_once(where):
    report = report_of("sha256:" + "9" * 64)
    stores = [open_store(where) for _ in range(4)]
    failures = []

    def record(store):
        try:
            for _ in range(5):
                store.record_scan(report)
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=record, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert failures == []
    assert len(rows(where, FINDINGS)) == len(report.images[0].findings)
