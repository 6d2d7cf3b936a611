"""Pushes come in bursts, again and again, while the service and its workers are killed: none is lost."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager

import pytest
from support.burst import push_images, shuffled_events, throw
from support.registry import free_port, start_registry
from support.serving import WEBHOOK_SECRET, kill, start_service, until

pytestmark = pytest.mark.real

IMAGES, EVENTS, KILLS = 30, 300, 5
SETTINGS = {
    "queue_lease_seconds": 1,
    "server_workers": 1,
    "webhooks_distribution_secret": WEBHOOK_SECRET,
}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A registry with images that are not known yet."""
    with start_registry(tmp_path_factory.mktemp("burst")) as registry:
        yield registry, push_images(registry, "burst/app", IMAGES)


@contextmanager
def killed_again_and_again(home, port, settings):
    """Keep a service running that is killed with all its workers; the last one is left alone."""
    over = threading.Event()

    def run():
        noise = random.Random(5)
        for number in range(KILLS + 1):
            with start_service(home, port=port, **settings) as service:
                ready.set()
                if number == KILLS:
                    over.wait()
                    return
                time.sleep(0.2 + noise.random() / 2)
                service.process.send_signal(signal.SIGKILL)
                for pid in service.worker_pids:
                    kill(pid)

    ready = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        over.set()
        thread.join()


def scans(home):
    """Return (digest, state) of every scan, as the database itself has it."""
    file = next(home.rglob("scanner.db"))
    with closing(sqlite3.connect(file, timeout=30)) as database:
        return database.execute("SELECT digest, state FROM scans ORDER BY digest").fetchall()


def test_every_push_of_a_burst_is_scanned_once(pushed, tmp_path):
    registry, images = pushed
    digests = sorted(one.digest for one in images)
    bodies = shuffled_events(registry.host, "burst/app", digests, EVENTS, seed=1)
    settings = SETTINGS | {
        "webhooks_distribution_host": registry.host, "registry_insecure": registry.host,
    }  # fmt: skip
    with start_service(tmp_path, **settings) as service:
        url = f"{service.url}/v1/webhooks/distribution"
        thrown = asyncio.run(throw(url, WEBHOOK_SECRET, bodies, senders=8))
        assert (sum(thrown.statuses.values()), thrown.failures) == (EVENTS, 0)
        until(lambda: scans(tmp_path) == [(d, "complete") for d in digests], service)


def test_none_is_lost_when_everything_is_killed_meanwhile(pushed, tmp_path):
    registry, images = pushed
    digests = sorted(one.digest for one in images)
    bodies = shuffled_events(registry.host, "burst/app", digests, EVENTS, seed=2)
    settings = SETTINGS | {
        "webhooks_distribution_host": registry.host, "registry_insecure": registry.host,
    }  # fmt: skip
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/webhooks/distribution"

    async def slowly():
        for start in range(0, EVENTS, 20):  # so that it lasts longer than the killing
            part = await throw(url, WEBHOOK_SECRET, bodies[start : start + 20], senders=4)
            assert sum(part.statuses.values()) == len(bodies[start : start + 20])
            await asyncio.sleep(0.1)

    with killed_again_and_again(tmp_path, port, settings):
        asyncio.run(slowly())
        # Finished scans answer later pushes of the same digest: one complete scan a digest, and no other.
        until(lambda: scans(tmp_path) == [(d, "complete") for d in digests], seconds=60)
