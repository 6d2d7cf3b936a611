"""Zot: CloudEvents in all three modes."""

from __future__ import annotations

import base64

import pytest
from support.webhook_samples import (
    BAD_DIGESTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    INDEX,
    MANIFEST,
    OTHER_DIGEST,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import MalformedEventError
from scanner.ports.webhook import Reply
from scanner.webhooks.zot import SOURCE

BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "event-1",
    "ce-source": "zotregistry.dev",
    "ce-type": "zotregistry.image.updated",
    "ce-time": "2026-01-02T03:04:05Z",
    "content-type": "application/json",
}
DATA = {
    "name": "team/app",
    "reference": "1.2",
    "digest": DIGEST,
    "mediaType": MANIFEST,
    "manifest": '{"schemaVersion":2}',
    "actor": {"name": "ci"},
    "request": {"addr": "10.0.0.9:4", "method": "PUT", "useragent": "docker/27"},
}
STRUCTURED = {
    "specversion": "1.0",
    "id": "event-1",
    "source": "zotregistry.dev",
    "type": "zotregistry.image.updated",
    "data": DATA,
}
ENCODED = {
    **without(STRUCTURED, "data"),
    "datacontenttype": "application/json",
    "data_base64": base64.b64encode(encoded(DATA)).decode(),
}


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        pytest.param(DATA, {}, id="tagged"),
        pytest.param(changed(DATA, "reference", DIGEST), {"tag": ""}, id="by_digest"),
        pytest.param(changed(DATA, "mediaType", INDEX), {}, id="index"),
        pytest.param(without(without(DATA, "actor"), "request"), {}, id="anonymous"),
        pytest.param(without(DATA, "digest"), {"digest": ""}, id="no_digest"),
    ],
)
def test_binary(data, parts):
    assert SOURCE.parse(BINARY, encoded(data)) == [image(host="", **parts)]


def test_structured():
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    assert SOURCE.parse(headers, encoded(STRUCTURED)) == [image(host="")]
    assert SOURCE.parse(headers, encoded(ENCODED)) == [image(host="")]


def test_batched():
    headers = {"content-type": "application/cloudevents-batch+json"}
    events = [STRUCTURED, changed(STRUCTURED, "type", "zotregistry.image.deleted"), ENCODED]
    assert SOURCE.parse(headers, encoded(events)) == [image(host="")] * 2
    assert SOURCE.parse(headers, b"[]") == []


@pytest.mark.parametrize(
    "kind",
    [
        "zotregistry.image.deleted",
        "zotregistry.image.scanned",
        "zotregistry.image.lint_failed",
        "zotregistry.repository.created",
    ],
)
def test_uninteresting(kind):
    headers = {**BINARY, "ce-type": kind}
    assert SOURCE.parse(headers, b'{"name":"team/app"}') == []


def test_uninteresting_artifact():
    data = changed(DATA, "mediaType", "application/vnd.cncf.helm.config.v1+json")
    assert SOURCE.parse(BINARY, encoded(data)) == []


def _rows():
    bad = {"name": BAD_REPOSITORIES, "reference": BAD_TAGS, "digest": BAD_DIGESTS}
    for key, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(DATA, key, value), id=f"{key}-{name}")


@pytest.mark.parametrize(
    "data",
    [
        *_rows(),
        pytest.param([DATA], id="array"),
        pytest.param(changed(DATA, "reference", OTHER_DIGEST), id="two_digests"),
        pytest.param(without(without(DATA, "reference"), "digest"), id="neither"),
        pytest.param(without(DATA, "mediaType"), id="no_media_type"),
    ],
)
def test_refuses(data):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(BINARY, encoded(data))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({**BINARY, "ce-specversion": "2.0"}, encoded(DATA), id="version"),
        pytest.param({**BINARY, "ce-type": ""}, encoded(DATA), id="no_type"),
        pytest.param({**BINARY, "content-type": "text/plain"}, encoded(DATA), id="not_json"),
        pytest.param(BINARY, b"", id="empty"),
        pytest.param({}, encoded(DATA), id="no_event"),
        pytest.param({}, encoded({**ENCODED, "data_base64": "!"}), id="not_base64"),
        pytest.param({}, encoded({**ENCODED, "data_base64": "ä"}), id="not_ascii"),
    ],
)
def test_refuses_no_cloudevent(headers, body):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(headers, body)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [("eventgrid.azure.net", True), ("broker.example:8080", True), ("*", True), ("", False),
     ("evil\r\nset-cookie: x", False), ("a b", False), ("a" * 10_000, False), ("evil\n", False)],
)  # fmt: skip
def test_handshake(origin, is_allowed):
    allowed = {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*"}
    want = Reply(headers=allowed) if is_allowed else None
    assert SOURCE.reply({"webhook-request-origin": origin}, b"") == want
    assert SOURCE.reply(BINARY, encoded(DATA)) is None
