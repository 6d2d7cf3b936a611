"""What no event told is found by walking the registry."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.faulty_registry import error_reply, json_reply, start_faulty_registry
from support.image_builder import image_index
from support.registry import start_registry
from support.service import Service, app_image, wait_for

from scanner.ports import JobState, Priority
from scanner.service._walk import Target, walking
from scanner.service.reconcile import ReconcileOptions, reconcile, run_reconcile

ONE, TWO, THREE = app_image("one"), app_image("two"), app_image("three")


@pytest.fixture
def own_registry(tmp_path):
    """A registry that holds nothing of other tests: its catalogue is walked."""
    directory = tmp_path / "registry"
    directory.mkdir()
    with start_registry(directory) as running:
        yield running


def walk_once(service, target):
    async def main(store):
        async with walking(
            service.open_names, target.registry, per_second=1_000, first_wait_seconds=0.001
        ) as walk:
            return await reconcile(store, walk, target, service.fingerprint)

    return service.ask(main)


def queued(service):
    page = service.ask(lambda store: store.scans(state=JobState.QUEUED))
    assert {scan.priority for scan in page.items} <= {Priority.BACKGROUND}
    return {(scan.repository, scan.digest) for scan in page.items}


@pytest.mark.real
def test_what_no_event_told(own_registry, where, tmp_path, shared_cache):
    service = Service(where, tmp_path / "home", shared_cache)
    host = own_registry.host
    index = image_index([ONE, TWO])
    own_registry.push(ONE, "team/app", "1")
    own_registry.push(ONE, "team/app", "same")
    own_registry.push(index, "team/both", "1")
    own_registry.push(TWO, "other/app", "1")
    assert walk_once(service, Target(host)) == {
        "tags_count": 4, "moved_count": 4, "queued_count": 3, "unanswered_count": 0
    }  # fmt: skip
    assert queued(service) == {
        ("team/app", ONE.digest),
        ("team/both", index.digest),
        ("other/app", TWO.digest),
    }
    assert walk_once(service, Target(host)) == {
        "tags_count": 4, "moved_count": 0, "queued_count": 0, "unanswered_count": 0
    }  # fmt: skip
    own_registry.push(THREE, "team/app", "same")
    assert walk_once(service, Target(host, "team/app")) == {
        "tags_count": 2, "moved_count": 1, "queued_count": 1, "unanswered_count": 0
    }  # fmt: skip
    history = service.ask(lambda store: store.tag_history(host, "team/app", "same"))
    assert [entry.digest for entry in history.items] == [THREE.digest, ONE.digest]


def test_what_failed_is_not_tried_in_every_round(service):
    with start_faulty_registry() as faulty:
        faulty.script("/v2/team/app/tags/list", *[json_reply({"tags": ["1"]})] * 2)
        faulty.serve(ONE, "team/app", "1")
        target = Target(faulty.host, "team/app")
        walk_once(service, target)
        service.execute("UPDATE scans SET state = 'failed', finished_at = created_at")
        assert walk_once(service, target)["queued_count"] == 0


def test_one_repository_that_fails_does_not_end_the_walk(service):
    with start_faulty_registry() as faulty:
        faulty.script("/v2/_catalog", json_reply({"repositories": ["a", "b"]}))
        faulty.script("/v2/a/tags/list", error_reply(401, "DENIED", "no"))
        faulty.script("/v2/b/tags/list", json_reply({"tags": ["1"]}))
        faulty.serve(ONE, "b", "1")
        assert walk_once(service, Target(faulty.host))["queued_count"] == 1


def test_the_loop_outlives_registries_that_fail(service):
    """The first is not there, the second may not be asked, the third is walked again and again."""
    with start_faulty_registry() as faulty, start_faulty_registry() as forbidden:
        faulty.gate = lambda seen: (
            json_reply({"tags": ["1"]}) if seen.path.partition("?")[0].endswith("/list") else None
        )
        faulty.serve(ONE, "team/app", "1")
        targets = [
            Target("127.0.0.1:1"),
            Target(forbidden.host),
            Target(faulty.host, "team/app"),
        ]

        async def main(store):
            loop = run_reconcile(
                store,
                service.open_names,
                targets,
                service.fingerprint,
                is_allowed=lambda host: host != forbidden.host,
                options=ReconcileOptions(
                    every_seconds=0.01, per_second=1_000, first_wait_seconds=0.001
                ),
            )
            task = asyncio.create_task(loop)
            await asyncio.to_thread(wait_for, lambda: len(faulty.paths("/tags/list")) > 1)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        service.ask(main)
        assert forbidden.seen == []
    assert queued(service) == {("team/app", ONE.digest)}
