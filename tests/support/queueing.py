"""Queue scans and look at the tables, without asyncio; and a process that leases (run this file)."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, event, select, update
from support.sample_report import sample_report

from scanner.model import ScanReport
from scanner.ports.service import Enqueued, Lease, Priority, ScanRecord, ScanRequest, WorkQueue
from scanner.store._backend import parse_where
from scanner.store._database import open_database, writer
from scanner.store._enqueue import enqueue_many
from scanner.store._scan_rows import scan_record
from scanner.store._tables import SCANS
from scanner.store.queue import open_queue


@contextmanager
def transaction(where: str) -> Iterator[Connection]:
    """Yield a transaction that writes."""
    engine = open_database(parse_where(where))
    try:
        with writer(engine).begin() as connection:
            yield connection
    finally:
        engine.dispose()


def wish(
    number: int = 0, *, registry: str = "reg.example", tag: str = "", **more: object
) -> ScanRequest:
    digest = "" if tag else f"sha256:{number:064x}"
    return ScanRequest(registry=registry, repository="a/b", tag=tag, digest=digest, **more)


def enqueue(where: str, *wishes: ScanRequest) -> list[Enqueued]:
    with transaction(where) as connection:
        return enqueue_many(connection, wishes, "f")


def enqueue_numbers(where: str, count: int) -> list[str]:
    """Queue so many scans of the lowest priority; return their ids, in the order they are leased."""
    wishes = [wish(number, priority=Priority.BACKGROUND) for number in range(count)]
    return sorted(enqueued.id for enqueued in enqueue(where, *wishes))


def scans(where: str) -> dict[str, ScanRecord]:
    """Return every scan by its id."""
    with transaction(where) as connection:
        return {row.id: scan_record(row) for row in connection.execute(select(SCANS))}


def change(where: str, scan_id: str, **values: object) -> None:
    with transaction(where) as connection:
        connection.execute(update(SCANS).where(SCANS.c.id == scan_id).values(values))


def rows(where: str, table) -> list[dict]:
    """Return a table's rows in the order of its key."""
    with transaction(where) as connection:
        found = connection.execute(select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def report_of(digest: str, **changes: object) -> ScanReport:
    """Return a report of one image with packages and findings."""
    sample = sample_report()
    image = msgspec.structs.replace(sample.images[0], digest=digest)
    values = {"images": (image,), "digest": digest, "state": image.state, "skipped": (), **changes}
    return msgspec.structs.replace(sample, **values)


def work(where: str, log: str, lease_seconds: str) -> None:
    """Do scans until all are over, whoever leases them; a line in ``log`` for each that was ended."""
    queue = open_queue(
        where, lease_seconds=float(lease_seconds), registry_parallel=100, attempts_count=20
    )
    name = f"worker-{os.getpid()}"
    while lease := _next_lease(queue, where, name):
        report = report_of(lease.scan.digest)
        if queue.finish(lease, report):
            with Path(log).open("a") as lines:
                lines.write(f"{lease.scan.id}\n")
    queue.close()


def _next_lease(queue: WorkQueue, where: str, name: str) -> Lease | None:
    while (lease := queue.lease(name)) is None:
        if all(scan.state.is_over for scan in scans(where).values()):
            return None
        queue.wait(1)
    return lease


def hold(where: str) -> None:
    """Lease a scan, tell so, and never let go."""
    queue = open_queue(where, lease_seconds=0.3)
    lease = queue.lease("holder")
    print(lease.scan.id if lease else "", flush=True)  # noqa: T201
    time.sleep(600)


def rate(where: str, count: str) -> None:
    """Print how many scans a second one process queues, leases and ends (nothing was found in them)."""
    queue = open_queue(where)
    empty = msgspec.structs.replace(report_of("").images[0], packages=(), findings=(), layers=())
    seconds = Counter()

    def timed(name, do, *arguments):
        began = time.perf_counter()
        result = do(*arguments)
        seconds[name] += time.perf_counter() - began
        return result

    timed("queued", enqueue_numbers, where, int(count))
    while lease := timed("leased", queue.lease, "w"):
        timed("extended", queue.heartbeat, lease)
        digest = lease.scan.digest
        image = msgspec.structs.replace(empty, digest=digest)
        timed("ended", queue.finish, lease, report_of(digest, images=(image,)))
    queue.close()
    for name, spent in seconds.items():
        print(f"{name:9}{int(count) / spent:8,.0f}/s")  # noqa: T201


def stall(where: str) -> None:
    """Store a report, and never commit it."""
    queue = open_queue(where)
    lease = queue.lease("staller")

    @event.listens_for(Engine, "commit")
    def stop(_connection: Connection) -> None:
        print("written", flush=True)  # noqa: T201
        time.sleep(600)

    queue.finish(lease, report_of(lease.scan.digest))


if __name__ == "__main__":
    {"work": work, "hold": hold, "stall": stall, "rate": rate}[sys.argv[1]](*sys.argv[2:])
