"""How fast the service answers for a digest over HTTP, from stores with few and many, while images are scanned."""

from __future__ import annotations

import asyncio
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import aiohttp
from answers_fill import digest_of_number, fill
from bench_answers import on_postgresql, on_sqlite
from support.scanning import command, environment
from support.serving import Serving, start_service

_SECONDS = 10.0
_CONNECTIONS = 32
_SCAN_NICENESS = 5  # as the service's workers


def bench_http(
    directory: Path, counts: list[int], per_second: int, image: Path, say: Callable[[str], None]
) -> None:
    """Fill a store of each kind with each number of digests; ask the service that stands on it."""
    for count in counts:
        for name, place in (("SQLite", on_sqlite), ("PostgreSQL", on_postgresql)):
            with place(directory / f"{name}-{count}") as where:
                filled = fill(where, count)
                key = "store_url" if "://" in where else "store_directory"
                say(f"  {name}, {count:,} digests (filled in {filled.seconds:.0f} s)")
                home = directory / f"home-{name}-{count}"
                with start_service(home, "--workers", 0, **{key: where}) as service:
                    _measure(service, count, per_second, image, say)


def _measure(
    service: Serving, count: int, per_second: int, image: Path, say: Callable[[str], None]
) -> None:
    digests = [digest_of_number(random.Random(n).randrange(count)) for n in range(per_second * 12)]
    asyncio.run(_ask(service, digests[:500], per_second))  # connections, caches
    for what, beside in (
        ("first asked, so judged", nullcontext()),
        ("asked again", nullcontext()),
        ("again, and images scanned", _scanning(image)),
    ):
        with beside:
            seconds = asyncio.run(_ask(service, digests, per_second))
        p50, p99 = (_quantile(seconds, q) * 1000 for q in (0.5, 0.99))
        say(f"    {per_second} a second, {what:<25} p50 {p50:5.1f} ms   p99 {p99:5.1f} ms")
    began = time.perf_counter()
    asyncio.run(_ask(service, digests, 0))
    say(f"    as many as it can: {len(digests) / (time.perf_counter() - began):,.0f} a second")


async def _ask(service: Serving, digests: list[str], per_second: int) -> list[float]:
    """Return how long each answer took from when it was due; 0 a second: one after another, all the time."""
    headers = {"Authorization": f"Bearer {service.token}"}
    seconds: list[float] = []
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def one(digest: str, due: float) -> None:
            async with session.get(f"{service.url}/v1/images/{digest}") as answer:
                await answer.read()
                answer.raise_for_status()
            seconds.append(time.perf_counter() - due)

        async def take(left: Iterator[str]) -> None:
            for digest in left:
                await one(digest, time.perf_counter())

        if not per_second:
            left = iter(digests)
            await asyncio.gather(*(take(left) for _ in range(_CONNECTIONS)))
            return seconds
        began, asked = time.perf_counter(), set()
        for number, digest in enumerate(digests):
            due = began + number / per_second
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if time.perf_counter() - began > _SECONDS:
                break
            task = asyncio.create_task(one(digest, due))
            asked.add(task)
            task.add_done_callback(asked.discard)
        await asyncio.gather(*asked)
    return seconds


@contextmanager
def _scanning(image: Path) -> Iterator[None]:
    """Scan an image over and over, as a worker does."""
    over = threading.Event()

    def scan() -> None:
        while not over.is_set():
            with tempfile.TemporaryDirectory() as home:
                process = subprocess.Popen(
                    ["nice", f"-n{_SCAN_NICENESS}", *command("scan", f"oci:{image}", "--format=json")],
                    env=environment(Path(home)), stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                while process.poll() is None and not over.wait(0.05):
                    pass
                process.kill()
                process.wait()

    thread = threading.Thread(target=scan)
    thread.start()
    try:
        time.sleep(1.0)
        yield
    finally:
        over.set()
        thread.join()


def _quantile(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
