"""A service's store opened for one test, and scans brought to an end by the queue that workers use.

Run as a process of its own: ``python service_store.py enqueue <where> <count>`` queues digests from 8 tasks.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from scanner.model import ScanReport
from scanner.ports import Lease, ScanRequest, ServiceStore
from scanner.store.queue import open_queue
from scanner.store.service import open_service_store

FINGERPRINT = "f1"
TASKS = 8


def with_store(where: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    """Return what ``ask(store)`` returns, asked in a loop of its own."""

    async def main() -> Any:
        store = await open_service_store(where)
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(main())


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def request(number: int | None = None, **more: Any) -> ScanRequest:
    """Return the request for a digest (or a tag, if ``more`` says so) of one repository."""
    values: dict[str, Any] = {"registry": "registry.example", "repository": "team/app"}
    if number is not None:
        values["digest"] = digest(number)
    return ScanRequest(**(values | more))


def lease_next(where: str) -> Lease:
    queue = open_queue(where)
    try:
        lease = queue.lease("worker-1")
    finally:
        queue.close()
    assert lease is not None
    return lease


def finish(where: str, lease: Lease, report: ScanReport) -> None:
    queue = open_queue(where)
    try:
        assert queue.finish(lease, report)
    finally:
        queue.close()


def scan(where: str, report: ScanReport, wanted: ScanRequest | None = None) -> str:
    """Queue a scan, do it, and return its id; ``report`` is what it finds."""
    asked = wanted or request(digest=report.digest)
    queued = with_store(where, lambda store: store.enqueue(asked, report.fingerprint))
    lease = lease_next(where)
    assert lease.scan.id == queued.id
    finish(where, lease, report)
    return queued.id


def single(report: ScanReport, image: int = 0, **changes: Any) -> ScanReport:
    """Return a report of one image only, its digest and state those of the image unless changed."""
    one = report.images[image]
    values = {"images": (one,), "digest": one.digest, "state": one.state, "skipped": ()}
    return msgspec.structs.replace(report, **(values | changes))


async def enqueue_all(store: ServiceStore, count: int) -> list[str]:
    """Queue the same digests from every task, in batches of other sizes and orders; return the new ids."""

    async def task(number: int) -> list[str]:
        numbers = list(range(count))
        if number % 2:
            numbers.reverse()
        size = 7 * (number + 1)
        new: list[str] = []
        for start in range(0, count, size):
            batch = [request(n, tag=f"v{n % 5}") for n in numbers[start : start + size]]
            new += [a.id for a in await store.enqueue_many(batch, FINGERPRINT) if a.is_new]
        return new

    made = await asyncio.gather(*(task(n) for n in range(TASKS)))
    return [one for of_task in made for one in of_task]


if __name__ == "__main__":
    made = with_store(sys.argv[2], lambda store: enqueue_all(store, int(sys.argv[3])))
    print("\n".join(made))  # noqa: T201
