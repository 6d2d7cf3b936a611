"""Backfill: everything once, from where it was stopped."""

from __future__ import annotations

import signal

import pytest
from support.faulty_registry import Reply, json_reply, start_faulty_registry
from support.registry import start_registry
from support.service import app_image, wait_for

from scanner.errors import UpstreamError
from scanner.ports import JobState
from scanner.service._cursor import Cursor
from scanner.service._walk import Target, walking
from scanner.service.backfill import backfill

IMAGES = [app_image(f"n{number}") for number in range(6)]
SIGNATURE = f"sha256-{'0' * 64}.sig"


@pytest.fixture
def faulty():
    """Two repositories with three tags each, one of them a signature more."""
    with start_faulty_registry() as running:
        lists = {"/v2/_catalog": {"repositories": ["a", "b"]}}
        for number, name in enumerate("ab"):
            tags = [f"{n}" for n in range(3)]
            for tag in tags:
                running.serve(IMAGES[3 * number + int(tag)], name, tag)
            lists[f"/v2/{name}/tags/list"] = {"name": name, "tags": [*tags, SIGNATURE]}

        def gate(seen):
            found = lists.get(seen.path.partition("?")[0])
            return None if found is None else json_reply(found)

        running.gate = gate
        yield running


class Stopped(Exception):  # noqa: N818 - no error
    """Raised where a run is to stop."""


def run(service, target, *, stop_after=None, dry_run=False, restart=False):
    told = []

    def tell(repository, _counts):
        told.append(repository)
        if len(told) == stop_after:
            raise Stopped

    async def main(store):
        with Cursor(service.home / "cursor", service.fingerprint) as cursor:
            if restart:
                cursor.forget()
            async with walking(
                service.open_names, target.registry, per_second=1_000, first_wait_seconds=0.001
            ) as walk:
                chosen = None if dry_run else cursor
                return await backfill(
                    store, walk, target, service.fingerprint, cursor=chosen, tell=tell
                )

    return service.ask(main)


def outcome(counts):
    return counts.tags_count, counts.new_count, counts.known_count, dict(counts.skipped)


def digests(service):
    page = service.ask(lambda store: store.scans(state=JobState.QUEUED))
    return sorted(scan.digest for scan in page.items)


def asked(server):
    """Return the requests since the last call that ask what a tag leads to."""
    paths = [path for path in server.paths("/manifests/") if path.startswith("HEAD")]
    server.seen.clear()
    return sorted(paths)


def test_everything_once(faulty, service):
    left_out = {"signature or attestation": 2}
    counts = run(service, Target(faulty.host))
    assert outcome(counts) == (8, 6, 0, left_out)
    assert counts.is_complete
    assert digests(service) == sorted(one.digest for one in IMAGES)
    # Done: another run begins anew, and finds all of it known.
    assert outcome(run(service, Target(faulty.host))) == (8, 0, 6, left_out)
    history = service.ask(lambda store: store.tag_history(faulty.host, "a", "1"))
    assert [entry.digest for entry in history.items] == [IMAGES[1].digest]


def test_goes_on_where_it_was_stopped(faulty, service):
    target = Target(faulty.host)
    with pytest.raises(Stopped):
        run(service, target, stop_after=1)
    assert len(asked(faulty)) == 3
    counts = run(service, target)
    assert outcome(counts) == (
        4, 3, 0, {"signature or attestation": 1}
    )  # fmt: skip
    assert asked(faulty) == [f"HEAD /v2/b/manifests/{n}" for n in range(3)]
    assert digests(service) == sorted(one.digest for one in IMAGES)


def test_begins_anew_when_told(faulty, service):
    with pytest.raises(Stopped):
        run(service, Target(faulty.host), stop_after=1)
    assert outcome(run(service, Target(faulty.host), restart=True))[:3] == (8, 3, 3)


def test_what_may_be_had_later_is_left_for_later(faulty, service):
    faulty.script("/v2/a/manifests/1", *[Reply(503)] * 4)
    counts = run(service, Target(faulty.host))
    assert outcome(counts) == (8, 5, 0, {"signature or attestation": 2, "upstream-error": 1})
    assert not counts.is_complete
    asked(faulty)
    counts = run(service, Target(faulty.host))
    assert outcome(counts) == (1, 1, 0, {"repositories done before": 1})
    assert counts.is_complete
    assert asked(faulty) == ["HEAD /v2/a/manifests/1"]


def test_a_dry_run_changes_nothing(faulty, service):
    service.push(f"{faulty.host}/a@{IMAGES[0].digest}")
    service.work()
    counts = run(service, Target(faulty.host, "a"), dry_run=True)
    assert outcome(counts) == (4, 2, 1, {"signature or attestation": 1})
    assert digests(service) == []
    assert service.rows("SELECT count(*) FROM tags") == [(0,)]


def test_a_registry_that_lists_nothing(faulty, service):
    faulty.gate = lambda _seen: Reply(404)
    with pytest.raises(UpstreamError):
        run(service, Target(faulty.host))


def ends(target, repositories_count, tags_count, queued):
    return (
        f"{target}: {repositories_count} repositories, {tags_count} tags\n"
        f"       {queued}\n       0 known already\n"
    )


@pytest.mark.real
def test_the_command(tmp_path, service):
    """Against a real registry."""
    directory = tmp_path / "registry"
    directory.mkdir()
    with start_registry(directory) as registry:
        for number, one in enumerate(IMAGES[:3]):
            registry.push(one, f"team/app{number % 2}", f"{number}")
        dry = service.run("backfill", registry.host, "--dry-run", "--quiet")
        assert dry == (0, ends(registry.host, 2, 3, "3 would be queued"), "")
        assert not list(service.home.parent.glob("store/backfill/*"))
        one = f"{registry.host}/team/app0"
        done = service.run("backfill", one, "--per-second", "100")
        assert done == (0, ends(one, 1, 2, "2 queued"), f"{one}: 2 tags, 2 new, 0 known\n")
        assert not list(service.home.parent.glob("store/backfill/*"))
    assert digests(service) == sorted(one.digest for one in (IMAGES[0], IMAGES[2]))
    assert service.run("backfill", "registry.example/app:1")[0] == 2
    service.more["server_allowed_registries"] = "registry.example"
    refused = service.run("backfill", registry.host)
    assert refused[0] == 2
    assert "server.allowed_registries" in refused[2]


def test_a_command_that_is_interrupted(faulty, service):
    """The same command again does what is left, and nothing twice."""
    target = f"{faulty.host}/a"
    with service.start("backfill", target, "--per-second", "2") as process:
        wait_for(lambda: faulty.paths("/v2/a/manifests/0"))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    code, out, _ = service.run("backfill", target, "--per-second", "1000")
    left_out = "       1 left out: signature or attestation\n"
    assert (code, out) == (0, ends(target, 1, 4, "3 queued") + left_out)
    assert digests(service) == sorted(one.digest for one in IMAGES[:3])
