"""Names that a registry lists, and what its tags lead to: from a real one and from liars."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from support.faulty_registry import Reply, error_reply, json_reply
from support.image_builder import image
from support.registry_samples import APP, BACKOFF, MANIFEST_PATH, NAME, asks_basic, word

from scanner.errors import (
    InvalidReferenceError,
    LimitExceededError,
    UnauthorizedError,
    UpstreamError,
)
from scanner.sources._registry_names import open_names

TAGS_PATH = f"/v2/{NAME}/tags/list"


@pytest.fixture
def names(server, options):
    with open_names(server.host, options(retries_count=1), backoff=BACKOFF) as opened:
        yield opened


@pytest.mark.real
def test_of_a_real_registry(registry, options):
    other = image([b"".join(APP.layers[:1])], {"User": "2"})
    registry.push(APP, "names/one", "1")
    registry.push(other, "names/one", "2")
    registry.push(APP, "names/two", "latest")
    with open_names(registry.host, options()) as names:
        assert {"names/one", "names/two"} <= set(names.repositories().names)
        page = names.tags("names/one")
        assert (sorted(page.names), page.next) == (["1", "2"], "")
        assert names.digest_of_tag("names/one", "1") == APP.digest
        assert names.digest_of_tag("names/one", "2") == other.digest
        assert names.digest_of_tag("names/one", "none") is None
        assert names.digest_of_tag("names/none", "1") is None


def test_digest_from_the_header_alone(server, names):
    server.script(MANIFEST_PATH, Reply(200, headers={"Docker-Content-Digest": APP.digest}))
    assert names.digest_of_tag(NAME, "1") == APP.digest
    assert server.paths() == [f"HEAD {MANIFEST_PATH}"]


@pytest.mark.parametrize(
    "answer",
    [Reply(200), Reply(200, headers={"Docker-Content-Digest": "md5:1"}), Reply(405), Reply(404)],
    ids=["none", "unknown", "no_head", "head_not_found"],
)
def test_digest_from_the_manifest(server, names, answer):
    server.script(MANIFEST_PATH, answer)
    assert names.digest_of_tag(NAME, "1") == APP.digest
    assert server.paths() == [f"HEAD {MANIFEST_PATH}", f"GET {MANIFEST_PATH}"]


def test_tag_that_is_gone(server, names):
    assert names.digest_of_tag(NAME, "gone") is None


@pytest.mark.parametrize(
    ("status", "retryable"), [(429, True), (500, True), (400, False), (301, False)]
)
def test_failures(server, names, status, retryable):
    server.script(MANIFEST_PATH, *[Reply(status, headers={"Retry-After": "7"})] * 4)
    with pytest.raises(UpstreamError) as caught:
        names.digest_of_tag(NAME, "1")
    assert caught.value.retryable is retryable
    assert caught.value.after_seconds == (7.0 if retryable else 0.0)


def test_logs_in(server, options):
    asks_basic(server)
    with open_names(server.host, options(username="u", password=word("pw"))) as names:
        assert names.digest_of_tag(NAME, "1") == APP.digest
    with open_names(server.host, options()) as names, pytest.raises(UnauthorizedError):
        names.digest_of_tag(NAME, "1")


def test_asks_for_the_scope_of_the_catalogue(server, names):
    wanted = f'Bearer realm="{server.url}/token",service="s",scope="registry:catalog:*"'

    def gate(seen):
        if seen.path.startswith("/token"):
            return json_reply({"token": "t"})
        if seen.authorization != "Bearer t":
            return Reply(401, headers={"WWW-Authenticate": wanted})
        return json_reply({"repositories": ["a"]})

    server.gate = gate
    assert names.repositories().names == ("a",)
    assert names.repositories().names == ("a",)
    (token,) = server.paths("/token")
    assert parse_qs(token.partition("?")[2])["scope"] == ["registry:catalog:*"]


def test_pages(server, other, names):
    server.script(
        TAGS_PATH,
        json_reply({"tags": ["a", "b"]}, Link=f'<{other.url}/x/tags?n=2&last=b>; rel="next"'),
        json_reply({"tags": ["c"]}, Link='</v2/elsewhere?token=b+/a~%3D>;rel="next"'),
        json_reply({"tags": None}),
    )
    first = names.tags(NAME)
    assert first == (("a", "b"), "n=2&last=b")
    second = names.tags(NAME, first.next)
    assert second == (("c",), "token=b+/a~%3D")
    assert names.tags(NAME, second.next) == ((), "")
    assert server.paths() == [
        f"GET {TAGS_PATH}?n=1000",
        f"GET {TAGS_PATH}?n=2&last=b",
        f"GET {TAGS_PATH}?token=b+/a~%3D",
    ]
    assert other.seen == []


@pytest.mark.parametrize(
    ("link", "after"),
    [
        pytest.param('<?n=1>; rel="next"', "n=1", id="query_alone"),
        pytest.param("</v2/_catalog?last=a>; rel=next", "last=a", id="bare"),
        pytest.param('</x?last=a#b>; rel="next"', "last=a", id="fragment"),
        pytest.param('</x?last=a b\\>; rel="next"', "last=a%20b%5C", id="odd_characters"),
        pytest.param('</x?last=a>; rel="prev"', "", id="another_relation"),
        pytest.param("</x>; rel=next", "", id="no_query"),
        pytest.param("junk", "", id="junk"),
        pytest.param("<" * 60_000, "", id="long"),
    ],
)
def test_next_page(server, names, link, after):
    server.script(TAGS_PATH, json_reply({"tags": []}, Link=link))
    assert names.tags(NAME).next == after


def test_impossible_names_are_left_out(server, names):
    tags = ["ok", "", "-x", "a/b", "a:b", "a b", "x" * 129, 7, None, ["a"], "é", "a\n"]
    server.script(TAGS_PATH, json_reply({"tags": tags}))
    assert names.tags(NAME).names == ("ok",)
    repositories = ["team/app", "UPPER", "../x", "a//b", "x@sha256:0", "a?b", "a:1", "x" * 256]
    server.script("/v2/_catalog", json_reply({"repositories": repositories}))
    assert names.repositories().names == ("team/app",)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"7", b'{"tags":{}}', b'{"tags":"a"}', b"<html>", b"[" * 100_000, b"\xff"],
    ids=["empty", "list", "number", "object", "text", "page", "nested", "not_utf8"],
)
def test_no_list_of_names(server, names, body):
    server.script(TAGS_PATH, Reply(200, body))
    with pytest.raises(UpstreamError, match="no list of names"):
        names.tags(NAME)


def test_long_page(server, names):
    server.script(TAGS_PATH, Reply(200, b" " * 65_536, endless=True))
    with pytest.raises(LimitExceededError):
        names.tags(NAME)


def test_catalogue_that_is_refused(server, names):
    server.script("/v2/_catalog", error_reply(404, "UNSUPPORTED", "no catalogue here"))
    with pytest.raises(UpstreamError, match="404"):
        names.repositories()


@pytest.mark.parametrize("registry", ["", "localhost", "a b", "x/y", "REG.example", "docker"])
def test_not_a_registry(registry, options):
    if registry == "localhost":
        open_names(registry, options()).close()
        return
    with pytest.raises(InvalidReferenceError):
        open_names(registry, options())


@pytest.mark.parametrize("tag", ["", "a@b", "1/2", "1:2"])
def test_not_a_tag(names, server, tag):
    with pytest.raises(InvalidReferenceError):
        names.digest_of_tag(NAME, tag)
    assert server.seen == []


def test_offline(options):
    with pytest.raises(UpstreamError, match="offline"):
        open_names("registry.example", options(offline=True))
