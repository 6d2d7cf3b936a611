"""Scans over HTTP: asked for, listed, followed, cancelled."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.web.running import CLEAN, FINGERPRINT, INDEX, lease_next, run

from scanner.model import ScanState
from scanner.ports import JobState, Priority, ScanRequest
from scanner.web._keys import WATCH
from scanner.web.routes import scans

REFERENCE = f"reg.example:5000/team/app:1.2@{INDEX}"


async def ask(service, reference=REFERENCE, token="asker", **more):
    return await service.ask(
        "POST", "/v1/scans", json={"reference": reference, **more}, token=token
    )


def test_asked_twice_it_is_done_once(where):
    async def use(service):
        first, again = await ask(service), await ask(service)
        return first, again, await service.get(first.headers["Location"], token="reader")

    first, again, one = run(where, use)
    assert (first.status, again.status) == (202, 202)
    told = first.json()
    assert first.headers["Location"] == again.headers["Location"] == f"/v1/scans/{told['id']}"
    assert one.json() == told
    shown = {
        n: told[n] for n in ("reference", "digest", "tag", "state", "priority", "requested_by")
    }
    assert shown == {
        "reference": REFERENCE,
        "digest": INDEX,
        "tag": "1.2",
        "state": "queued",
        "priority": "waiting",
        "requested_by": "token/asker",
    }
    assert "leased_by" not in told


def test_what_is_known_is_not_scanned_again_unless_forced(tmp_path):
    async def use(service):
        done = await service.scan_sample(digest=CLEAN, images=(), state=ScanState.COMPLETE)
        known = await ask(service, f"reg.example:5000/team/app@{CLEAN}")
        forced = await ask(service, f"reg.example:5000/team/app@{CLEAN}", force=True)
        return done, known, forced

    done, known, forced = run(tmp_path, use)
    assert (known.status, known.json()["id"], known.json()["is_over"]) == (200, done, True)
    assert (forced.status, forced.json()["id"] != done) == (202, True)


def test_who_waits_goes_first(tmp_path):
    async def use(service):
        pushed = [
            ScanRequest(registry="reg.example:5000", repository="team/app", digest=d, priority=p)
            for d, p in ((CLEAN, Priority.PUSHED), (INDEX, Priority.BACKGROUND))
        ]
        await service.store.enqueue_many(pushed, FINGERPRINT)
        await ask(service)
        return lease_next(service.directory).scan.digest

    assert run(tmp_path, use) == INDEX


@pytest.mark.parametrize(
    ("body", "token", "status"),
    [
        pytest.param({"reference": "evil.example/x"}, "asker", 403, id="host"),
        pytest.param({"reference": "169.254.169.254/x"}, "asker", 403, id="metadata"),
        pytest.param({"reference": "alpine"}, "asker", 403, id="hub_by_default"),
        pytest.param({"reference": "reg.example:5000/A B"}, "asker", 400, id="no_reference"),
        pytest.param({"reference": "oci:/etc"}, "asker", 400, id="no_registry"),
        pytest.param({"reference": REFERENCE, "platforms": ["x"]}, "asker", 400, id="platform"),
        pytest.param({"reference": REFERENCE, "priority": 0}, "asker", 400, id="unknown_field"),
        pytest.param({"reference": REFERENCE}, "reader", 403, id="scope"),
        pytest.param({"reference": REFERENCE}, "", 401, id="nobody"),
    ],
)
def test_refused(tmp_path, body, token, status):
    async def use(service):
        answer = await service.ask("POST", "/v1/scans", json=body, token=token)
        return answer, (await service.store.scans()).items

    answer, scans = run(tmp_path, use)
    assert answer.problem().status == status
    assert scans == ()


def test_platforms_are_spelt_one_way(tmp_path):
    async def use(service):
        answer = await ask(service, platforms=["linux/x86_64", "Linux/ARM64/v8", "linux/amd64"])
        return answer.json()["platforms"]

    assert run(tmp_path, use) == ["linux/amd64", "linux/arm64"]


def test_listed_by_state_and_page(tmp_path):
    async def use(service):
        for number in range(5):
            await ask(service, f"reg.example:5000/team/app@sha256:{number:064x}")
        lease_next(service.directory)
        pages, after = [], ""
        while True:
            page = (await service.get(f"/v1/scans?state=queued&limit=3&after={after}")).json()
            pages.append([int(one["digest"][7:], 16) for one in page["items"]])
            after = page["next"]
            if not after:
                return pages

    assert run(tmp_path, use) == [[4, 3, 2], [1]]


def test_cancelled_once(where):
    async def use(service):
        path = (await ask(service)).headers["Location"]
        first = await service.ask("DELETE", path, token="asker")
        again = await service.ask("DELETE", path, token="asker")
        unknown = await service.ask("DELETE", f"/v1/scans/{'0' * 26}", token="asker")
        return first, again, unknown

    first, again, unknown = run(where, use)
    assert (first.status, first.json()["state"]) == (202, "cancelled")
    assert (again.status, again.problem().code) == (409, "scan-over")
    assert (unknown.status, unknown.problem().state) == (404, "unknown")


async def events(service, path, *, count):
    """Yield the first ``count`` events of a stream."""
    headers = service.headers("reader") | {"Accept": "text/event-stream"}
    async with service.client.get(path, headers=headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        async for line in response.content:
            name, _, data = line.decode().strip().partition(": ")
            if name == "data":
                yield json.loads(data)
                count -= 1
                if not count:
                    return


def test_followed_until_it_is_over(where):
    async def use(service):
        service.application[WATCH]._poll_seconds = 0.01
        path = (await ask(service)).headers["Location"]
        states = []
        async for told in events(service, path, count=99):
            if not states:
                lease = await asyncio.to_thread(lease_next, service.directory)
                assert lease is not None
            elif told["state"] == "scanning" and not told["cancel_requested"]:
                await service.store.cancel(told["id"])
                await asyncio.to_thread(fail, service.directory, lease)
            states.append(told["state"])
        return states, service.application[WATCH]._listeners

    states, listeners = run(where, use)
    assert (states[0], states[1], states[-1]) == ("queued", "scanning", "cancelled")
    assert listeners == {}


def fail(directory, lease):
    from scanner.store.queue import open_queue

    queue = open_queue(directory)
    try:
        assert (
            queue.fail(lease, "cancelled", "asked to stop", retryable=False) is JobState.CANCELLED
        )
    finally:
        queue.close()


def test_a_scan_that_is_over_is_told_at_once(tmp_path):
    async def use(service):
        scan = await service.scan_sample()
        return [told["state"] async for told in events(service, f"/v1/scans/{scan}", count=99)]

    assert run(tmp_path, use) == ["failed"]


def test_many_followers_share_one_read_and_have_a_bound(tmp_path):
    async def use(service):
        watch = service.application[WATCH]
        watch._most_count = 3
        path = (await ask(service)).headers["Location"]
        streams = [events(service, path, count=99) for _ in range(3)]
        for one in streams:
            await anext(one)
        listening = sum(map(len, watch._listeners.values())), len(watch._listeners)
        refused = await service.get(path, headers={"Accept": "text/event-stream"})
        plain = await service.get(path)
        for one in streams:
            await one.aclose()
        return listening, refused, plain.status

    listening, refused, plain = run(tmp_path, use)
    assert listening == (3, 1)
    assert (refused.status, refused.problem().code) == (503, "too-many-streams")
    assert plain == 200


def test_who_went_away_takes_no_place(tmp_path, monkeypatch):
    monkeypatch.setattr(scans, "_LOOK_SECONDS", 0.02)

    async def use(service):
        path = (await ask(service)).headers["Location"]
        stream = events(service, path, count=99)
        await anext(stream)
        watch = service.application[WATCH]
        before = len(watch._listeners)
        await stream.aclose()
        async with asyncio.timeout(20):
            while watch._listeners:  # noqa: ASYNC110 - what ends it is in aiohttp
                await asyncio.sleep(0.02)
        return before

    assert run(tmp_path, use) == 1


def test_streams_end_when_the_service_is_told_to_stop(tmp_path):
    async def use(service):
        path = (await ask(service)).headers["Location"]
        stream = events(service, path, count=99)
        await anext(stream)
        service.application[WATCH].close()
        return [told async for told in stream]

    assert run(tmp_path, use) == []


def test_heartbeats(tmp_path, monkeypatch):
    monkeypatch.setattr(scans, "_HEARTBEAT_SECONDS", 0.01)

    async def use(service):
        path = (await ask(service)).headers["Location"]
        headers = service.headers() | {"Accept": "text/event-stream"}
        async with service.client.get(path, headers=headers) as response:
            lines = [await response.content.readline() for _ in range(4)]
        return lines[3]

    assert run(tmp_path, use) == b": nothing new\n"


def test_finished_by_a_worker(tmp_path):
    async def use(service):
        scan = await service.scan_sample()
        return (await service.get(f"/v1/scans/{scan}")).json()

    told = run(tmp_path, use)
    assert (told["state"], told["is_over"], told["fingerprint"]) == ("failed", True, FINGERPRINT)


def test_finished_scans_are_measured_once(where):
    async def use(service):
        for digest in (INDEX, CLEAN):
            await service.scan_sample(digest=digest)
            for _ in range(2):
                text = (await service.get("/metrics")).body.decode()
        return text.splitlines()

    lines = run(where, use)
    for line in (
        'scanner_scan_stage_seconds_sum{stage="extract"} 2.0',
        'scanner_scan_stage_seconds_count{stage="merge"} 2.0',
        'scanner_scan_total_seconds_count{state="failed"} 2.0',
        'scanner_scan_layers_total{cache="hit"} 2.0',
        'scanner_scan_layers_total{cache="miss"} 2.0',
        'scanner_scans{state="queued"} 0.0',
    ):
        assert line in lines
