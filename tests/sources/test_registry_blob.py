"""Blobs and redirects of a registry that misbehaves."""

from __future__ import annotations

import threading

import pytest
from support.faulty_registry import Reply, redirect
from support.image_builder import (
    digest,
)
from support.registry_samples import (
    APP,
    CONFIG,
    CONFIG_PATH,
    LAYER,
    LAYER_PATH,
    MANIFEST_PATH,
    NAME,
    asks_basic,
    full_texts,
    read_all,
    word,
)

from scanner.errors import (
    DigestMismatchError,
    ForbiddenHostError,
    NotFoundError,
    UpstreamError,
)
from scanner.model import Descriptor
from scanner.sources.registry import open_registry

# Blobs

FAULTS = {
    "no_answer": Reply(hangs_up=True),
    "start": Reply(200, APP.layers[0], cut_after=0),
    "middle": Reply(200, APP.layers[0], cut_after=100_000),
    "last_byte": Reply(200, APP.layers[0], cut_after=LAYER.size - 1),
    "chunked": Reply(200, APP.layers[0], length=-1, cut_after=100_000),
    "stall": Reply(200, APP.layers[0], cut_after=100_000, stalls=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_cut_blob_is_resumed(server, opened, fault):
    server.script(LAYER_PATH, fault)
    assert read_all(opened(idle_seconds=0.3)) == APP.layers[0]
    ranges = [one.headers["Range"] for one in server.seen]
    sent = fault.cut_after
    assert ranges == [None, f"bytes={sent}-" if sent else None]


def test_cut_again_and_again(server, opened):
    def cut(seen):
        reply = server.proper(seen)
        return Reply(reply.status, reply.body, reply.headers, cut_after=60_000)

    server.script(LAYER_PATH, *[cut] * 4)
    assert read_all(opened()) == APP.layers[0]
    assert len(server.seen) == 5
    server.script(LAYER_PATH, *[cut] * 4)
    with pytest.raises(UpstreamError, match="cut") as caught:
        read_all(opened(retries_count=3))
    assert caught.value.retryable


def test_cut_config_is_resumed(server, opened):
    server.script(CONFIG_PATH, Reply(200, APP.config_bytes, cut_after=10))
    assert opened().fetch_config(CONFIG) == APP.config_bytes
    assert server.seen[1].headers["Range"] == "bytes=10-"


def test_range_ignored(server, opened):
    cut = Reply(200, APP.layers[0], cut_after=100_000)
    again = Reply(200, APP.layers[0], cut_after=50_000)
    server.script(LAYER_PATH, cut, again, Reply(200, APP.layers[0]))
    assert read_all(opened()) == APP.layers[0]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(416, headers={"Content-Range": "bytes */100"}), DigestMismatchError),
        (Reply(206, b"x", {"Content-Range": "bytes 5-5/6"}), UpstreamError),
        (Reply(206, b"x", {"Content-Range": "junk"}), UpstreamError),
        (Reply(206, b"x"), UpstreamError),
        (
            Reply(206, b"x" * 9, {"Content-Range": "bytes 100000-100008/100009"}),
            DigestMismatchError,
        ),
        (Reply(200, b"short"), DigestMismatchError),
        (Reply(404), NotFoundError),
        (Reply(400), UpstreamError),
    ],
    ids=["refused", "elsewhere", "junk", "no_range", "other_total", "other_blob", "gone", "bad"],
)
def test_resume_that_does_not_fit(server, opened, reply, error):
    server.script(LAYER_PATH, Reply(200, APP.layers[0], cut_after=100_000), reply)
    with pytest.raises(error):
        read_all(opened())


def test_partial_answer_to_a_whole_question(server, opened):
    headers = {"Content-Range": f"bytes 0-{LAYER.size - 1}/{LAYER.size}"}
    server.script(LAYER_PATH, Reply(206, APP.layers[0], headers))
    with pytest.raises(UpstreamError, match="range"):
        opened().open_blob(LAYER)


@pytest.mark.parametrize("extra", [b"x", b"x" * 1_000_000], ids=["a_byte", "a_lot"])
@pytest.mark.parametrize("length", [None, -1], ids=["content_length", "chunked"])
def test_blob_too_long(server, opened, extra, length):
    server.script(LAYER_PATH, Reply(200, APP.layers[0] + extra, length=length))
    with pytest.raises(DigestMismatchError, match="blob size"):
        read_all(opened())


def test_endless_blob(server, opened):
    server.script(LAYER_PATH, Reply(200, b"x" * 65_536, endless=True))
    with pytest.raises(DigestMismatchError, match=f"more than {LAYER.size}"):
        read_all(opened())


def test_blob_too_short(server, opened):
    server.script(LAYER_PATH, Reply(200, APP.layers[0][:-1]))
    with pytest.raises(DigestMismatchError, match="blob size"):
        read_all(opened())


def test_empty_blob(server, opened):
    server.script(LAYER_PATH, Reply(200))
    empty = Descriptor(media_type=LAYER.media_type, digest=LAYER.digest, size=0)
    assert read_all(opened(), empty) == b""


def test_blob_closed_while_read(server, opened):
    server.script(LAYER_PATH, Reply(200, APP.layers[0], cut_after=10, stalls=True))
    blob = opened().open_blob(LAYER)
    assert blob.read(10)
    threading.Timer(0.05, blob.close).start()
    with pytest.raises(UpstreamError):
        blob.read(10)
    with pytest.raises(UpstreamError, match="closed"):
        blob.read(10)
    blob.close()


def test_blob_sizes_of_reads(server, opened):
    blob = opened().open_blob(LAYER)
    assert blob.read(0) == b""
    assert [len(blob.read(7)), len(blob.read(1))] == [7, 1]
    assert 1 <= len(blob.read(10**9)) <= 262_144
    blob.close()


def test_many_threads(server, opened):
    source = opened()
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(read_all(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [APP.layers[0]] * 8


def test_urls_of_a_foreign_layer_are_never_asked(server, other, opened):
    foreign = Descriptor(
        media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        digest=digest(b"foreign"),
        size=7,
        urls=(f"{other.url}/layer",),
    )
    with pytest.raises(NotFoundError):
        opened().open_blob(foreign)
    assert other.seen == []


# Redirects


def test_redirect_to_another_host_goes_without_credentials(server, other, opened):
    other.script("/signed", Reply(200, APP.layers[0]))
    asks_basic(server)
    server.script(LAYER_PATH, redirect(f"{other.url}/signed?sig=abc"))
    assert read_all(opened(username="u", password=word("pw"))) == APP.layers[0]
    assert [(s.path, s.authorization) for s in other.seen] == [("/signed?sig=abc", "")]
    assert server.seen[-1].authorization


def test_redirect_away_and_back_goes_without_credentials(server, other, opened):
    asks_basic(server, "/v2/")
    server.script(LAYER_PATH, redirect(f"{other.url}/x"))
    other.script("/x", redirect(f"{server.url}/back"))
    server.script("/back", Reply(200, APP.layers[0]))
    assert read_all(opened(username="u", password=word("pw"))) == APP.layers[0]
    assert [s.authorization for s in server.seen if s.path == "/back"] == [""]


def test_redirect_at_home_keeps_credentials(server, opened):
    asks_basic(server)
    server.script(LAYER_PATH, redirect("/elsewhere/blob"))
    server.script("/elsewhere/blob", Reply(200, APP.layers[0]))
    assert read_all(opened(username="u", password=word("pw"))) == APP.layers[0]


def test_signed_address_expires_mid_download(server, other, opened):
    for signature in "123":
        server.script(LAYER_PATH, redirect(f"{other.url}/{signature}"))
    other.script("/1", Reply(200, APP.layers[0], cut_after=100_000))
    other.script("/2", Reply(403, b"<Error>expired</Error>"))
    rest = f"bytes 100000-{LAYER.size - 1}/{LAYER.size}"
    other.script("/3", Reply(206, APP.layers[0][100_000:], {"Content-Range": rest}))
    assert read_all(opened()) == APP.layers[0]
    assert [s.headers["Range"] for s in other.seen] == [None, "bytes=100000-", "bytes=100000-"]


def test_signed_address_always_refused(server, other, opened):
    other.gate = lambda _seen: Reply(403)
    server.script(LAYER_PATH, *[redirect(f"{other.url}/x?sig={word('sig')}")] * 9)
    with pytest.raises(UpstreamError, match="HTTP 403 from the host") as caught:
        opened().open_blob(LAYER)
    assert word("sig") not in full_texts(caught.value)
    assert len(other.seen) == 2


def test_cut_signed_address_is_not_told(server, other, opened):
    other.gate = lambda _seen: Reply(hangs_up=True)
    server.script(LAYER_PATH, *[redirect(f"{other.url}/x?sig={word('sig')}")] * 9)
    with pytest.raises(UpstreamError) as caught:
        opened().open_blob(LAYER)
    assert word("sig") not in full_texts(caught.value)


def test_redirect_loop(server, opened):
    server.gate = lambda seen: redirect(seen.path + "x")
    with pytest.raises(UpstreamError, match="more than 10 redirects"):
        opened().root()
    assert len(server.seen) == 11


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://reg.example/x",
        "gopher://127.0.0.1/",
        "http://u:p@127.0.0.1/",
        "http://127.0.0.1\\@reg.example/",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "http://exa mple/",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/latest/meta-data",
        "/" + "x" * 20_000,
    ],
)
def test_forbidden_redirects(server, opened, location):
    server.script(LAYER_PATH, redirect(location))
    with pytest.raises(ForbiddenHostError):
        opened().open_blob(LAYER)
    assert len(server.seen) == 1


def test_endless_body_of_a_redirect(server, opened):
    endless = Reply(307, b"x" * 65_536, {"Location": f"{LAYER_PATH}?x"}, endless=True)
    server.script(LAYER_PATH, endless)
    assert read_all(opened()) == APP.layers[0]


def test_redirect_without_location(server, opened):
    server.script(LAYER_PATH, Reply(307))
    with pytest.raises(UpstreamError, match="without a Location"):
        opened().open_blob(LAYER)


def test_cookies_are_not_sent(server, opened):
    server.script(
        MANIFEST_PATH,
        Reply(307, headers={"Location": MANIFEST_PATH, "Set-Cookie": "sid=1; Path=/"}),
    )
    source = opened()
    source.root()
    source.fetch_config(CONFIG)
    assert [one.headers["Cookie"] for one in server.seen] == [None] * 3


# Plain http and TLS


def test_plain_http_only_when_asked_for(server, options):
    with (
        open_registry(f"{server.host}/{NAME}:1", options(insecure_hosts=frozenset())) as source,
        pytest.raises(UpstreamError, match="TLS") as caught,
    ):
        source.root()
    assert f"--insecure-registry {server.host}" in caught.value.hint
    assert server.seen == []
