"""Walking a registry: every name once, whatever it answers, and no faster than it asks."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.faulty_registry import Reply, error_reply, json_reply, start_faulty_registry
from support.image_builder import image
from support.registry_samples import LIMITS

from scanner.errors import InvalidReferenceError, UpstreamError
from scanner.ports import SourceOptions
from scanner.service._tagged import Tagged, repositories_of, requests_for, tags_of
from scanner.service._walk import Target, parse_target, walking
from scanner.sources._registry_names import open_names

ONE, TWO = image([b"1"]), image([b"2"])
TAGS = "/v2/team/app/tags/list"
CATALOGUE = "/v2/_catalog"


@pytest.fixture
def server():
    with start_faulty_registry() as running:
        running.serve(ONE, "team/app", "1")
        running.serve(TWO, "team/app", "2")
        yield running


@pytest.fixture
def walked(server, tmp_path):
    """Return a function that runs ``use(walk)`` and returns what it returns."""
    options = SourceOptions(
        limits=LIMITS,
        spool_dir=tmp_path,
        insecure_hosts=frozenset({"127.0.0.1"}),
        docker_config=tmp_path,
        idle_seconds=5.0,
        retries_count=0,
    )
    (tmp_path / "config.json").write_text("{}")

    def run(use):
        async def main():
            async with walking(
                lambda host: open_names(host, options),
                server.host,
                per_second=1_000,
                first_wait_seconds=0.001,
            ) as walk:
                return await use(walk)

        return asyncio.run(main())

    return run


async def every(iterator):
    return [one async for one in iterator]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("registry.example", Target("registry.example")),
        ("localhost:5000", Target("localhost:5000")),
        ("REGISTRY.example/team/app", Target("registry.example", "team/app")),
        ("docker.io/alpine", Target("docker.io", "library/alpine")),
        ("[::1]:5000/app", Target("[::1]:5000", "app")),
    ],
)
def test_parse_target(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "team",
        "registry.example/",
        "registry.example/app:1",
        "r.example/app@sha256:00",
        "a b.c/d",
        "https://registry.example",
        "registry.example/*",
        "/x",
        "registry.example:99999",
    ],
)
def test_not_a_target(text):
    with pytest.raises(InvalidReferenceError):
        parse_target(text)


def test_every_name_once(server, walked):
    server.script(
        CATALOGUE,
        json_reply({"repositories": ["b", "a", "b"]}, Link='<?last=a>; rel="next"'),
        json_reply({"repositories": ["a", "c"]}),
    )
    assert walked(lambda walk: every(walk.repositories())) == ["b", "a", "c"]


def test_pages_that_do_not_end(server, walked):
    again = json_reply({"tags": ["1"]}, Link='<?last=1>; rel="next"')
    server.script(TAGS, *[again] * 9)
    assert walked(lambda walk: every(walk.tags("team/app"))) == ["1"]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "failure",
    [error_reply(429, "TOOMANYREQUESTS", "slow"), Reply(503), Reply(500), Reply(hangs_up=True)],
    ids=["429", "503", "500", "cut"],
)
def test_what_can_pass_is_asked_again(server, walked, failure):
    server.script(TAGS, failure, failure, json_reply({"tags": ["1"]}))
    server.script("/v2/team/app/manifests/1", failure)

    async def use(walk):
        return await every(walk.tags("team/app")), await walk.digest("team/app", "1")

    assert walked(use) == (["1"], ONE.digest)


@pytest.mark.parametrize(("status", "tries"), [(503, 4), (500, 4), (401, 1), (404, 1), (418, 1)])
def test_what_cannot_pass_is_not(server, walked, status, tries):
    server.script(TAGS, *[Reply(status)] * 9)
    with pytest.raises(UpstreamError):
        walked(lambda walk: every(walk.tags("team/app")))
    assert len(server.paths(TAGS)) == tries


def test_a_registry_that_is_down_is_not_waited_for_each_time(server, walked):
    tags = [f"t{number}" for number in range(9)]
    server.script(TAGS, json_reply({"tags": tags}))
    server.gate = lambda seen: Reply(503) if "/manifests/" in seen.path else None
    target = Target(server.host, "team/app")
    (chunk,) = walked(lambda walk: every(tags_of(walk, target)))
    assert [one.passes for one in chunk] == [True] * 9
    assert len(server.paths("/manifests/")) == 3 * 4 + 6


def test_waits_as_long_as_the_registry_asks(server, walked):
    began = []

    def slow_down(_seen):
        began.append(time.monotonic())
        return error_reply(429, "TOOMANYREQUESTS", "slow", Retry_After="1")

    def page(_seen):
        began.append(time.monotonic())
        return json_reply({"tags": ["1"]})

    server.script(TAGS, slow_down, page)
    assert walked(lambda walk: every(walk.tags("team/app"))) == ["1"]
    assert began[1] - began[0] >= 1.0


def test_tags_with_what_they_lead_to(server, walked):
    signature = f"sha256-{'0' * 64}.sig"
    names = ["1", "gone", signature, "down", "refused", "left-out", "2"]
    server.script(TAGS, json_reply({"tags": names}))
    server.script("/v2/team/app/manifests/down", *[Reply(503)] * 9)
    server.script("/v2/team/app/manifests/refused", Reply(401), Reply(401))
    target = Target(server.host, "team/app")

    async def use(walk):
        return await every(tags_of(walk, target, is_wanted=lambda tag: tag != "left-out"))

    (chunk,) = walked(use)
    assert chunk == [
        Tagged(target, "1", ONE.digest),
        Tagged(target, "gone", skipped="gone"),
        Tagged(target, signature, skipped="signature or attestation"),
        Tagged(target, "down", skipped="upstream-error", passes=True),
        Tagged(target, "refused", skipped="unauthorized"),
        Tagged(target, "2", TWO.digest),
    ]
    assert [(r.digest, r.tag) for r in requests_for(chunk, "x")] == [
        (ONE.digest, ""),
        (TWO.digest, ""),
    ]
    assert not server.paths("left-out")


def test_repositories_of(server, walked):
    server.script(CATALOGUE, json_reply({"repositories": ["a", "b/c"]}))
    all_of = Target(server.host)
    one_of = Target(server.host, "team/app")

    async def use(walk):
        return await every(repositories_of(walk, all_of)), await every(
            repositories_of(walk, one_of)
        )

    assert walked(use) == ([Target(server.host, "a"), Target(server.host, "b/c")], [one_of])
