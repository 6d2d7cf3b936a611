"""How long an AdmissionReview takes: images known to the store, asked over HTTP, one after the other and at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from support.admission_samples import pod, review
from support.sample_report import sample_report
from support.web.running import FINGERPRINT, Service, finish_next, running

from scanner.ports import ScanRequest

_IMAGES = 200
_OF_A_POD = 10
_REVIEWS = 1_000
_REPOSITORY = "reg.example:5000/team/app"


def bench_admissions(directory: Path, say: Callable[[str], None]) -> None:
    """Print p50 and p99 of reviews of ten images, on SQLite."""
    asyncio.run(_bench(directory, say))


async def _bench(directory: Path, say: Callable[[str], None]) -> None:
    say(f"AdmissionReview, {_OF_A_POD} images of {_IMAGES} known ones, over HTTP")
    async with _filled(directory) as (service, digests):
        bodies = [_body(digests, number) for number in range(_REVIEWS)]
        first = bodies[: _IMAGES // _OF_A_POD]
        say(f"  never judged before      {await _time(service, first, 1)}")
        say(f"  one after the other      {await _time(service, bodies, 1)}")
        say(f"  10 at once               {await _time(service, bodies, 10)}")
        await service.client_is_done()


@asynccontextmanager
async def _filled(directory: Path) -> Any:
    async with running(directory) as service:
        yield service, [await _scanned(service, number) for number in range(_IMAGES)]


async def _scanned(service: Service, number: int) -> str:
    digest = f"sha256:{number:064x}"
    sample = sample_report()
    image = msgspec.structs.replace(sample.images[0], digest=digest)
    report = msgspec.structs.replace(
        sample, digest=digest, reference=f"{_REPOSITORY}@{digest}", images=(image,)
    )
    wanted = ScanRequest(registry="reg.example:5000", repository="team/app", digest=digest)
    await service.store.enqueue(wanted, FINGERPRINT)
    await asyncio.to_thread(finish_next, service.directory, report)
    return digest


def _body(digests: Sequence[str], number: int) -> str:
    start = number * _OF_A_POD % len(digests)
    chosen = digests[start : start + _OF_A_POD]
    return json.dumps(review(pod(*(f"{_REPOSITORY}@{digest}" for digest in chosen))))


async def _time(service: Service, bodies: Sequence[str], at_once: int) -> str:
    seconds: list[float] = []
    waiting = iter(bodies)

    async def ask() -> None:
        for body in waiting:
            began = time.perf_counter()
            answer = await service.ask(
                "POST",
                "/v1/admission/kubernetes",
                token="cluster",  # noqa: S106 - its name
                data=body,
            )
            seconds.append(time.perf_counter() - began)
            if answer.json()["response"]["allowed"]:  # the sample's images hold keys
                raise RuntimeError(answer.body)

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(at_once)))
    wall = time.perf_counter() - began
    seconds.sort()
    p50, p99 = (seconds[int(len(seconds) * part)] * 1_000 for part in (0.5, 0.99))
    return f"p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  {len(seconds) / wall:6,.0f}/s"
