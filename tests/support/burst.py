"""A burst of pushes thrown at a real service: distinct images, many events each, several senders at once."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import aiohttp
from support.image_builder import Image, image
from support.registry import RunningRegistry
from support.scanning import OS_RELEASE, dpkg_status, layer

_EVENTS_TYPE = "application/vnd.docker.distribution.events.v2+json"
_PUSHERS = 8


def push_images(registry: RunningRegistry, repository: str, count: int) -> list[Image]:
    """Push ``count`` images that share their layers and return them."""
    base = layer(OS_RELEASE, dpkg_status("base"))
    images = [image([base], {"User": "1", "Labels": {"number": str(n)}}) for n in range(count)]
    registry.push(images[0], repository)

    def push(one: Image) -> None:  # the layer is there, and is not to be written by two at once
        registry.push_blob(one.config_bytes, repository)
        registry.push_manifest(one, repository)

    with ThreadPoolExecutor(_PUSHERS) as pool:
        list(pool.map(push, images[1:]))
    return images


def event(host: str, repository: str, digest: str, number: int) -> bytes:
    """Return the body that a registry sends for one push."""
    target = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "repository": repository,
        "url": f"http://{host}/v2/{repository}/manifests/{digest}",
    }
    one = {
        "id": f"event-{number}",
        "timestamp": "2026-01-01T00:00:00Z",
        "action": "push",
        "target": target,
        "request": {"host": host, "method": "PUT"},
    }
    return json.dumps({"events": [one]}).encode()


def shuffled_events(
    host: str, repository: str, digests: Sequence[str], count: int, seed: int
) -> list[bytes]:
    """Return ``count`` bodies in which every digest comes about equally often, in no order."""
    bodies = [event(host, repository, digests[n % len(digests)], n) for n in range(count)]
    random.Random(seed).shuffle(bodies)
    return bodies


@dataclass
class Thrown:
    """What became of a burst."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds of each event that was answered, without its failed tries."""
    statuses: dict[int, int] = field(default_factory=dict)
    failures: int = 0
    """Tries that got no 2xx: the sender tries again, as registries do."""

    def quantile(self, share: float) -> float:
        """Return the seconds within which ``share`` of the events were answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def throw(url: str, secret: str, bodies: Sequence[bytes], *, senders: int) -> Thrown:
    """Send every body until it is answered by 2xx, ``senders`` at a time."""
    thrown, left = Thrown(), list(reversed(bodies))
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": _EVENTS_TYPE}
    began = time.perf_counter()
    async with aiohttp.ClientSession(
        headers=headers, connector=aiohttp.TCPConnector(limit=senders)
    ) as session:

        async def send() -> None:
            while left:
                body = left.pop()
                while not await _try(session, url, body, thrown):
                    thrown.failures += 1
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(send() for _ in range(senders)))
    thrown.seconds = time.perf_counter() - began
    return thrown


async def _try(session: aiohttp.ClientSession, url: str, body: bytes, thrown: Thrown) -> bool:
    began = time.perf_counter()
    try:
        async with session.post(url, data=body) as answer:
            await answer.read()
    except (aiohttp.ClientError, ConnectionError):
        return False
    if not 200 <= answer.status < 300:
        return False
    thrown.latencies.append(time.perf_counter() - began)
    thrown.statuses[answer.status] = thrown.statuses.get(answer.status, 0) + 1
    return True
