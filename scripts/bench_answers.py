"""How fast a store answers for a digest, and how that grows with the number of digests it holds.

Filling is :mod:`answers_fill`; what is measured here is the store alone, without HTTP.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from answers_fill import FINGERPRINT, REGISTRY, REPOSITORY, digest_of_number, fill
from support.postgres import start_postgresql

from scanner.ports import ScanRequest
from scanner.store.service import open_service_store

_LOOKUPS = 10_000
_AT_ONCE = 10
_BATCHES = 50
_BATCH = 200


def bench_stores(directory: Path, counts: list[int], say: Callable[[str], None]) -> None:
    """Fill a store of each kind with each number of digests, and ask it."""
    for count in counts:
        for name, place in (("SQLite", on_sqlite), ("PostgreSQL", on_postgresql)):
            with place(directory / f"{name}-{count}") as where:
                filled = fill(where, count)
                say(f"  {name}, {count:,} digests (filled in {filled.seconds:.0f} s)")
                asyncio.run(_ask(where, count, say))


@contextmanager
def on_sqlite(directory: Path) -> Iterator[str]:
    """Give a place for an embedded database that is gone afterwards."""
    yield str(directory)
    for path in directory.glob("scanner.db*"):
        path.unlink()


@contextmanager
def on_postgresql(_directory: Path) -> Iterator[str]:
    """Give a database of a server that is gone afterwards."""
    with start_postgresql() as running, running.database() as url:
        yield url


async def _ask(where: str, count: int, say: Callable[[str], None]) -> None:
    store = await open_service_store(where)
    noise = random.Random(1)
    known = [digest_of_number(noise.randrange(count)) for _ in range(_LOOKUPS)]
    unknown = [digest_of_number(count + n) for n in range(_LOOKUPS // 10)]
    tokens = iter(range(10**9))

    async def queue(_: object) -> None:
        requests = [
            ScanRequest(
                registry=REGISTRY,
                repository=REPOSITORY,
                tag=f"t{(number := next(tokens)) % 50}",
                digest=digest_of_number(count + 10**6 + number),
            )
            for _ in range(_BATCH)
        ]
        await store.enqueue_many(requests, FINGERPRINT)

    async def fifty(digest: str) -> None:
        await store.images([digest_of_number(noise.randrange(count)) for _ in range(49)] + [digest])

    try:
        await _time(store.image, known[:1_000])  # what is compiled once is not counted
        questions: list[tuple[str, Callable[[Any], Awaitable[Any]], list[Any], int]] = [
            ("image, one after the other", store.image, known, 1),
            (f"image, {_AT_ONCE} at once", store.image, known, _AT_ONCE),
            ("image, never scanned", store.image, unknown, 1),
            ("50 images in one call", fifty, known[:500], 1),
            ("newest scan of a digest", store.scan_of, known[:2_000], 1),
            ("packages of a digest", store.packages, known[:2_000], 1),
            ("report of a digest", store.report, known[:500], 1),
            ("counts of the queue", lambda _: store.queue_counts(), list(range(200)), 1),
            (f"{_BATCH} pushes queued", queue, list(range(_BATCHES)), 1),
        ]
        for title, question, arguments, at_once in questions:
            say(f"    {title:<28} {await _time(question, arguments, at_once)}")
    finally:
        await store.close()


async def _time(
    question: Callable[[Any], Awaitable[Any]], arguments: list[Any], at_once: int = 1
) -> str:
    """Ask each, and return how long they took."""
    seconds: list[float] = []
    waiting = iter(arguments)

    async def work() -> None:
        for argument in waiting:
            began = time.perf_counter()
            await question(argument)
            seconds.append(time.perf_counter() - began)

    began, began_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(at_once)))
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    seconds.sort()
    p50, p99 = (seconds[int(len(seconds) * part)] * 1_000 for part in (0.5, 0.99))
    return (
        f"p50 {p50:7.3f} ms  p99 {p99:7.3f} ms  {len(seconds) / wall:8,.0f}/s"
        f"  {cpu / len(seconds) * 1_000:6.3f} ms CPU each"
    )
