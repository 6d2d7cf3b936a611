"""The registry source against a real registry, and manifests of one that misbehaves."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace

import pytest
import requests
import urllib3
from support.faulty_registry import Reply, error_reply
from support.image_builder import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    digest,
    image,
    image_index,
    to_json,
)
from support.registry_samples import (
    APP,
    BACKOFF,
    CONFIG,
    CONFIG_PATH,
    LAYER,
    LIMITS,
    MANIFEST,
    MANIFEST_PATH,
    NAME,
    read_all,
)

from scanner.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    LimitExceededError,
    MalformedManifestError,
    NotFoundError,
    SettingsError,
    UnauthorizedError,
    UpstreamError,
)
from scanner.model import Descriptor
from scanner.ports import Limits
from scanner.sources._documents import parse_config, parse_index, parse_manifest
from scanner.sources._registry_errors import Backoff, TransientError, wire_errors
from scanner.sources.registry import SOURCE, open_registry

# The real registry


def test_pull_from_a_real_registry(registry, options):
    registry.push(APP, "real/app", "1")
    with SOURCE.open(f"{registry.host}/real/app:1", options()) as source:
        root, raw = source.root()
        assert (root, raw) == (MANIFEST, APP.manifest_bytes)
        manifest = parse_manifest(raw, root.media_type, LIMITS)
        config = parse_config(source.fetch_config(manifest.config))
        assert (config.user, list(config.diff_ids)) == ("app", APP.diff_ids)
        assert tuple(read_all(source, layer) for layer in manifest.layers) == APP.layers
        assert source.fetch_manifest(root) == APP.manifest_bytes
        assert source.reference == f"{registry.host}/real/app:1"
        assert not source.blobs_by_diff_id


def test_index_from_a_real_registry(registry, options):
    both = image_index([APP, image(APP.layers[:1], architecture="arm64")])
    reference = registry.push(both, "real/index")
    with SOURCE.open(reference, options()) as source:
        root, raw = source.root()
        assert root == Descriptor(media_type=OCI_INDEX, digest=both.digest, size=len(raw))
        entries = parse_index(raw, root.media_type, LIMITS).manifests
        assert [source.fetch_manifest(e) for e in entries] == [
            one.manifest_bytes for one in both.images
        ]


@pytest.mark.parametrize("name", ["real/none", f"real/none@{APP.digest}"], ids=["tag", "digest"])
def test_nothing_there_in_a_real_registry(registry, options, name):
    with SOURCE.open(f"{registry.host}/{name}", options()) as source:
        with pytest.raises(NotFoundError) as caught:
            source.root()
        assert "MANIFEST_UNKNOWN" in str(caught.value)
        with pytest.raises(NotFoundError):
            source.open_blob(LAYER)


def test_resume_against_a_real_registry(registry, options):
    registry.push(APP, "real/resume", "1")
    with SOURCE.open(f"{registry.host}/real/resume:1", options()) as source:
        blob = source.open_blob(LAYER)
        start = blob.read(1_000)
        blob._response.close()
        blob._drop()
        rest = b"".join(iter(lambda: blob.read(100_000), b""))
        assert start + rest == APP.layers[0]


# Opening


def test_offline(options):
    with pytest.raises(UpstreamError, match="offline"):
        SOURCE.open("reg.example/x", options(offline=True))


def test_not_a_reference(options):
    with pytest.raises(InvalidReferenceError):
        SOURCE.open("Not A Reference", options())


def test_accepts_everything():
    assert SOURCE.accepts("anything")
    assert (SOURCE.order, SOURCE.schemes) == (100, ("registry", "docker"))


def test_missing_ca_file(options, tmp_path):
    with pytest.raises(SettingsError, match=r"none\.pem"):
        SOURCE.open("reg.example/x", options(ca_file=tmp_path / "none.pem"))


# Manifests and configs


def test_everything_asked_for_at_once(server, opened):
    opened().root()
    seen = server.seen[0]
    assert seen.headers["Accept"].split(", ") == [
        OCI_INDEX,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        OCI_MANIFEST,
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
    assert seen.headers["Accept-Encoding"] == "identity"
    assert seen.headers["User-Agent"].startswith("scanner/")


def test_one_connection_for_small_things(server, opened):
    source = opened()
    source.root()
    source.fetch_manifest(MANIFEST)
    source.fetch_config(CONFIG)
    read_all(source)
    assert server.connections_count == 1


def test_tag_with_wrong_content_digest(server, opened):
    server.script(
        MANIFEST_PATH,
        Reply(200, APP.manifest_bytes, {"Docker-Content-Digest": digest(b"other")}),
    )
    with pytest.raises(DigestMismatchError):
        opened().root()


def test_content_digest_of_unknown_algorithm_says_nothing(server, opened):
    headers = {"Docker-Content-Digest": "blake3:" + "0" * 64, "Content-Type": OCI_MANIFEST}
    server.script(MANIFEST_PATH, Reply(200, APP.manifest_bytes, headers))
    assert opened().root() == (MANIFEST, APP.manifest_bytes)


def test_digest_reference_is_verified(server, opened):
    server.script(f"/v2/{NAME}/manifests/{APP.digest}", Reply(200, b"{}"))
    with pytest.raises(DigestMismatchError):
        opened(f"{NAME}@{APP.digest}").root()


@pytest.mark.parametrize(
    "body", [APP.manifest_bytes + b" ", APP.manifest_bytes[::-1]], ids=["size", "digest"]
)
def test_child_manifest_is_verified(server, opened, body):
    server.script(f"/v2/{NAME}/manifests/{APP.digest}", Reply(200, body))
    with pytest.raises(DigestMismatchError):
        opened().fetch_manifest(MANIFEST)


def test_child_manifest_of_another_type(server, opened):
    headers = {"Content-Type": OCI_INDEX}
    server.script(f"/v2/{NAME}/manifests/{APP.digest}", Reply(200, APP.manifest_bytes, headers))
    with pytest.raises(MalformedManifestError, match="served as"):
        opened().fetch_manifest(MANIFEST)


@pytest.mark.parametrize(
    "document",
    [
        {"mediaType": OCI_MANIFEST, "manifests": [], "layers": []},
        {"mediaType": OCI_INDEX, "manifests": []},
        ["not", "an", "object"],
    ],
    ids=["both", "other_media_type", "list"],
)
def test_confusing_manifest(server, opened, document):
    server.script(MANIFEST_PATH, Reply(200, to_json(document), {"Content-Type": OCI_MANIFEST}))
    root, raw = opened().root()
    with pytest.raises(MalformedManifestError):
        parse_manifest(raw, root.media_type, LIMITS)


def test_web_page_instead_of_a_manifest(server, opened):
    page = Reply(200, b"<html>Sign in</html>", {"Content-Type": "text/html; charset=utf-8"})
    server.script(MANIFEST_PATH, page)
    with pytest.raises(UpstreamError, match="web page"):
        opened().root()


def test_web_page_as_an_error(server, opened):
    server.script(MANIFEST_PATH, Reply(404, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(NotFoundError, match=r"HTTP 404\Z"):
        opened().root()


@pytest.mark.parametrize("length", [None, -1], ids=["content_length", "chunked"])
def test_manifest_too_long(server, opened, length):
    server.script(MANIFEST_PATH, Reply(200, b" " * 2_000, length=length))
    with pytest.raises(LimitExceededError, match="manifest_bytes"):
        opened(limits=Limits(manifest_bytes=1_000)).root()


def test_endless_manifest(server, opened):
    server.script(MANIFEST_PATH, Reply(200, b" " * 65_536, endless=True))
    with pytest.raises(LimitExceededError, match="manifest_bytes"):
        opened().root()


@pytest.mark.parametrize("limit", ["manifest_bytes", "config_bytes"])
def test_descriptor_too_long_asks_nothing(server, opened, limit):
    source = opened(limits=Limits(**{limit: 10}))
    fetch = source.fetch_manifest if limit == "manifest_bytes" else source.fetch_config
    with pytest.raises(LimitExceededError, match=limit):
        fetch(MANIFEST)
    assert server.seen == []


def test_inlined_data_asks_nothing(server, opened):
    inlined = Descriptor(media_type=OCI_CONFIG, digest=digest(b"{}"), size=2, data=b"{}")
    assert opened().fetch_config(inlined) == b"{}"
    assert opened().fetch_manifest(inlined) == b"{}"
    assert server.seen == []


def test_config_that_is_not_json(server, opened):
    broken = Image(APP.manifest_bytes, b"not json", ())
    server.serve(broken, NAME, "")
    wanted = Descriptor(media_type=OCI_CONFIG, digest=digest(b"not json"), size=8)
    with pytest.raises(MalformedManifestError, match="not JSON"):
        parse_config(opened().fetch_config(wanted))


@pytest.mark.parametrize(
    "body", [APP.config_bytes[:-1], APP.config_bytes + b" ", APP.config_bytes[::-1]],
    ids=["short", "long", "other"],
)  # fmt: skip
def test_wrong_config(server, opened, body):
    server.script(CONFIG_PATH, Reply(200, body))
    with pytest.raises(DigestMismatchError):
        opened().fetch_config(CONFIG)


# Statuses and retries


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_worth_another_try(server, opened, status):
    server.script(MANIFEST_PATH, error_reply(status, "TOOMANYREQUESTS", "slow down"))
    assert opened().root() == (MANIFEST, APP.manifest_bytes)


@pytest.mark.parametrize(("status", "tries"), [(429, 5), (503, 5), (500, 2), (400, 1), (418, 1)])
def test_tries_end(server, opened, status, tries):
    server.script(MANIFEST_PATH, *[error_reply(status, "X", "no")] * 10)
    with pytest.raises(UpstreamError, match=f"HTTP {status} X: no") as caught:
        opened().root()
    assert caught.value.retryable == (tries > 1)
    assert len(server.seen) == tries


@pytest.mark.parametrize("asked", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT", "soon", "-1", "9" * 40])
def test_retry_after_is_capped(server, opened, asked):
    server.script(MANIFEST_PATH, error_reply(429, "TOOMANYREQUESTS", "slow", Retry_After=asked))
    assert opened().root() == (MANIFEST, APP.manifest_bytes)


@pytest.mark.parametrize(("asked", "tries"), [("9", 1), ("1", 5)])
def test_a_wait_that_is_too_long_is_left_to_the_caller(server, options, asked, tries):
    server.script(MANIFEST_PATH, *[error_reply(429, "X", "slow", Retry_After=asked)] * 9)
    waits = replace(BACKOFF, longest_asked_seconds=5.0)
    source = open_registry(f"{server.host}/{NAME}:1", options(), backoff=waits)
    with source, pytest.raises(UpstreamError) as caught:
        source.root()
    assert (caught.value.after_seconds, caught.value.retryable) == (float(asked), True)
    assert len(server.seen) == tries


def test_wait_seconds():
    waits = Backoff(base_seconds=1.0, cap_seconds=30.0)
    assert waits.wait_seconds(0, 7.0) == 7.0
    assert waits.wait_seconds(0, 99.0) == 30.0
    assert waits.wait_seconds(0, 0.0) == 0.0
    assert [0.5 <= waits.wait_seconds(n, None) / 2**n <= 1.0 for n in range(4)] == [True] * 4
    assert waits.wait_seconds(10_000, None) <= 30.0


def test_registry_message_is_bounded_and_printable(server, opened):
    server.script(MANIFEST_PATH, error_reply(404, "MANIFEST_UNKNOWN", "\x1b[31m\n" + "x" * 9_000))
    with pytest.raises(NotFoundError) as caught:
        opened().root()
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"errors": 1}', b'{"errors": []}', b'{"errors": [1]}', b"[" * 50_000,
     b'{"errors": [{"code": 1}]}', b'{"errors": [{"code": "<b>"}]}', b"\xff"],
)  # fmt: skip
def test_error_bodies_of_any_form(server, opened, body):
    server.script(MANIFEST_PATH, Reply(403, body))
    with pytest.raises(UnauthorizedError, match=r"HTTP 403\Z"):
        opened().root()


def test_nobody_listens(options):
    with (
        open_registry("127.0.0.1:1/x", options(), backoff=BACKOFF) as source,
        pytest.raises(UpstreamError, match="connection refused") as caught,
    ):
        source.root()
    assert caught.value.retryable


@pytest.mark.parametrize(
    "fault",
    [
        Reply(hangs_up=True),
        Reply(200, APP.manifest_bytes, cut_after=0),
        Reply(200, APP.manifest_bytes, cut_after=50),
        Reply(200, APP.manifest_bytes, length=-1, cut_after=50),
    ],
    ids=["no_answer", "start", "middle", "middle_of_chunk"],
)
def test_cut_manifest(server, opened, fault):
    server.script(MANIFEST_PATH, fault, fault)
    assert opened().root() == (MANIFEST, APP.manifest_bytes)
    server.script(MANIFEST_PATH, *[fault] * 10)
    with pytest.raises(UpstreamError, match="cut") as caught:
        opened().root()
    assert caught.value.retryable


def test_silence(server, opened):
    server.script(MANIFEST_PATH, *[Reply(200, APP.manifest_bytes, cut_after=9, stalls=True)] * 2)
    with pytest.raises(UpstreamError, match="timed out"):
        opened(idle_seconds=0.1, retries_count=1).root()


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*map(subclasses, kind.__subclasses__()))


@pytest.mark.parametrize(
    "kind",
    sorted(
        subclasses(requests.RequestException)
        | subclasses(urllib3.exceptions.HTTPError)
        | {OSError, TimeoutError, ConnectionResetError, ssl.SSLError, socket.gaierror},
        key=repr,
    ),
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_every_error_of_the_libraries_is_mapped(kind):
    error = kind.__new__(kind)
    with pytest.raises((UpstreamError, TransientError)) as caught, wire_errors("reg.example", "x"):
        raise error
    assert str(caught.value).startswith("reg.example: x: ")
    assert caught.value.__suppress_context__
