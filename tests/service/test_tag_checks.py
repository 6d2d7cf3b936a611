"""Tags that somebody said have moved: the registry's answer is recorded and queued, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.faulty_registry import Reply, error_reply, start_faulty_registry
from support.service import Service, app_image

from scanner.ports import JobState, ScanRequest
from scanner.service.tags import TagOptions, run_tag_checks

ONE, TWO = app_image("one"), app_image("two")
OPTIONS = TagOptions(poll_seconds=0.02)


@pytest.fixture
def faulty():
    with start_faulty_registry() as running:
        yield running


def check_tags(service, until, *, is_allowed=lambda _host: True):
    """Run the loop until the coroutine function ``until(store)`` says so."""

    async def main(store):
        loop = run_tag_checks(
            store, service.open_names, service.fingerprint, is_allowed=is_allowed, options=OPTIONS
        )
        task = asyncio.create_task(loop)
        try:
            async with asyncio.timeout(30):
                while not await until(store):
                    assert not task.done()
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    service.ask(main)


def history(service, host, repository, tag):
    page = service.ask(lambda store: store.tag_history(host, repository, tag))
    return [(entry.digest, entry.replaced_at is None) for entry in page.items]


def queued(service):
    page = service.ask(lambda store: store.scans(state=JobState.QUEUED))
    return [(scan.digest, scan.requested_by) for scan in page.items]


@pytest.mark.real
def test_a_tag_that_moved(registry, where, tmp_path, shared_cache):
    service = Service(where, tmp_path / "home", shared_cache)
    host, name = registry.host, "checks/app"

    async def is_known(store):
        return bool((await store.tag_history(host, name, "1")).items)

    registry.push(ONE, name, "1")
    service.push(f"{host}/{name}:1@{ONE.digest}")
    check_tags(service, is_known)
    assert history(service, host, name, "1") == [(ONE.digest, True)]
    # The event tells of another digest than the tag leads to by now: both are scanned.
    registry.push(TWO, name, "1")
    told = app_image("told").digest
    service.push(f"{host}/{name}:1@{told}")

    async def has_moved(store):
        return len((await store.tag_history(host, name, "1")).items) == 2

    check_tags(service, has_moved)
    assert history(service, host, name, "1") == [(TWO.digest, True), (ONE.digest, False)]
    assert queued(service) == [(TWO.digest, "tag check"), (told, ""), (ONE.digest, "")]
    assert service.ask(lambda store: store.tag_checks()) == []


def test_a_tag_that_is_gone(faulty, service):
    service.push(f"{faulty.host}/team/app:gone@{ONE.digest}")

    async def is_done(store):
        return faulty.seen and await no_checks(service)

    check_tags(service, is_done)
    assert history(service, faulty.host, "team/app", "gone") == []
    assert queued(service) == [(ONE.digest, "")]


async def no_checks(service):
    return service.rows("SELECT count(*) FROM tag_checks") == [(0,)]


@pytest.mark.parametrize(
    "failure",
    [Reply(503), Reply(401), Reply(hangs_up=True), Reply(200, b" " * 65_536, endless=True)],
    ids=["503", "401", "cut", "endless"],
)
def test_without_an_answer_nothing_is_recorded(faulty, service, failure):
    faulty.script("/v2/team/app/manifests/1", *[failure] * 9)
    service.push(f"{faulty.host}/team/app:1@{ONE.digest}")

    async def was_asked(_store):
        return faulty.seen

    check_tags(service, was_asked)
    assert history(service, faulty.host, "team/app", "1") == []
    assert service.rows("SELECT count(*) FROM tag_checks") == [(1,)]


def test_a_broken_setting_is_no_answer(faulty, service):
    """A docker config that cannot be read must not make tags go away."""
    service.home.mkdir()
    (service.home / "docker").mkdir()
    (service.home / "docker" / "config.json").write_text("{")
    service.more["registry_docker_config"] = service.home / "docker"
    faulty.serve(TWO, "team/app", "1")
    log_in = Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    faulty.script("/v2/team/app/manifests/1", *[log_in] * 9)
    service.push(f"{faulty.host}/team/app:1@{ONE.digest}")

    async def was_asked(_store):
        return faulty.seen

    check_tags(service, was_asked)
    assert service.rows("SELECT count(*) FROM tag_checks") == [(1,)]


def test_a_registry_is_left_alone_as_long_as_it_asks(faulty, service):
    """And meanwhile another one is asked."""
    slow = error_reply(429, "TOOMANYREQUESTS", "slow", Retry_After="900")
    faulty.gate = lambda _seen: slow
    with start_faulty_registry() as other:
        other.serve(TWO, "team/app", "1")
        for tag in range(20):
            service.push(f"{faulty.host}/team/app:{tag}@{ONE.digest}")

        async def was_asked(_store):
            return faulty.seen

        check_tags(service, was_asked)
        asked_count = len(faulty.seen)
        assert asked_count <= OPTIONS.registry_parallel_count
        service.push(f"{other.host}/team/app:1@{ONE.digest}")

        async def is_known(store):
            return (await store.tag_history(other.host, "team/app", "1")).items

        check_tags(service, is_known)
    assert service.rows("SELECT count(*) FROM tag_checks") == [(20,)]


def test_a_host_that_is_not_allowed_is_not_asked(faulty, service):
    service.push(f"{faulty.host}/team/app:1@{ONE.digest}")
    asked = []

    def is_allowed(host):
        asked.append(host)
        return False

    async def was_considered(_store):
        return asked

    check_tags(service, was_considered, is_allowed=is_allowed)
    assert faulty.seen == []


def test_a_name_that_no_registry_has(faulty, service):
    request = ScanRequest(registry=faulty.host, repository="../etc", tag="1", digest=ONE.digest)
    service.enqueue(request)

    async def is_done(_store):
        return await no_checks(service)

    check_tags(service, is_done)
    assert faulty.seen == []
