"""A burst of pushes against a real service with a real registry: how soon each is answered, and what is queued."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from support.burst import Thrown, push_images, shuffled_events, throw
from support.registry import start_registry
from support.serving import WEBHOOK_SECRET, start_service, until

_REPOSITORY = "bench/app"


def bench_burst(
    directory: Path, events: int, images: int, senders: int, say: Callable[[str], None]
) -> None:
    """Throw the burst, first with the workers elsewhere, then with one that scans meanwhile."""
    (directory / "registry").mkdir()
    with start_registry(directory / "registry") as registry:
        say(f"{events:,} pushes of {images:,} images, {senders} senders at a time")
        digests = [one.digest for one in push_images(registry, _REPOSITORY, images)]
        bodies = shuffled_events(registry.host, _REPOSITORY, digests, events, seed=1)
        settings = {
            "webhooks_distribution_host": registry.host,
            "registry_insecure": registry.host,
            "registry_retries_count": 4,
        }
        for workers in (0, 1):
            home = directory / f"home{workers}"
            with start_service(home, "--workers", workers, **settings) as service:
                url = f"{service.url}/v1/webhooks/distribution"
                thrown = asyncio.run(throw(url, WEBHOOK_SECRET, bodies, senders=senders))
                _tell(f"{workers} workers", thrown, say)
                say(f"    scans by state: {_states(home)}")
                if workers:
                    began = time.perf_counter()
                    until(lambda at=home: set(_states(at)) == {"complete"}, service, seconds=1_800)
                    seconds = time.perf_counter() - began + thrown.seconds
                    say(f"    all {images:,} scanned {seconds:.1f} s after the first push")


def _tell(name: str, thrown: Thrown, say: Callable[[str], None]) -> None:
    p50, p99, worst = (thrown.quantile(q) * 1000 for q in (0.5, 0.99, 1.0))
    say(
        f"  {name:<12} {len(thrown.latencies) / thrown.seconds:6.0f} answers/s   "
        f"p50 {p50:5.1f} ms   p99 {p99:5.1f} ms   longest {worst:5.1f} ms   "
        f"answers {thrown.statuses}, failures {thrown.failures}"
    )


def _states(home: Path) -> dict[str, int]:
    file = next(home.rglob("scanner.db"))
    with closing(sqlite3.connect(file, timeout=30)) as database:
        return dict(database.execute("SELECT state, count(*) FROM scans GROUP BY state").fetchall())
