"""Anybody's CloudEvents: fields, a whole reference, or the subject."""

from __future__ import annotations

import pytest
from support.webhook_samples import (
    BAD_DIGESTS,
    BAD_HOSTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    OTHER_DIGEST,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import MalformedEventError
from scanner.webhooks.cloudevents import SOURCE

STRUCTURED = {"content-type": "application/cloudevents+json"}
FIELDS = {"host": "registry.example:5000", "repository": "team/app", "tag": "1.2", "digest": DIGEST}
WHOLE = f"registry.example:5000/team/app:1.2@{DIGEST}"
EVENT = {
    "specversion": "1.0",
    "id": "event-1",
    "source": "/ci",
    "type": "example.image.pushed.v1",
    "data": FIELDS,
}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "event-1",
    "ce-source": "/ci",
    "ce-type": "example.image.pushed.v1",
    "content-type": "application/json",
}


def with_data(data):
    return changed(EVENT, "data", data)


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        pytest.param(EVENT, {}, id="fields"),
        pytest.param(with_data({"reference": WHOLE}), {}, id="reference"),
        pytest.param(with_data({"image": WHOLE}), {}, id="image"),
        pytest.param({**without(EVENT, "data"), "subject": WHOLE}, {}, id="subject"),
        pytest.param({**with_data("text"), "subject": WHOLE}, {}, id="subject_beside_text"),
        pytest.param(
            with_data({"image": "team/app", "tag": "1.2"}),
            {"host": "", "digest": ""},
            id="image_and_tag",
        ),
        pytest.param(with_data({"image": "team/app:1.2"}), {"host": "", "digest": ""}, id="no_host"),
        pytest.param(
            with_data({"repository": "registry.example:5000/team/app", "digest": DIGEST}),
            {"tag": ""},
            id="repository_with_host",
        ),
        pytest.param(with_data({"image": WHOLE, "digest": DIGEST}), {}, id="said_twice"),
    ],
)  # fmt: skip
def test_parse(document, parts):
    assert SOURCE.parse(STRUCTURED, encoded(document)) == [image(**parts)]


def test_binary():
    assert SOURCE.parse(BINARY, encoded(FIELDS)) == [image()]
    headers = {**BINARY, "ce-subject": WHOLE.replace("/", "%2F")}
    assert SOURCE.parse(headers, b"") == [image()]
    headers = {**BINARY, "ce-subject": WHOLE, "content-type": "text/plain"}
    assert SOURCE.parse(headers, b"whatever") == [image()]


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("dev.cdevents.artifact.published.0.2.0", 1),
        ("com.example.ImagePushed", 1),
        ("com.example.image-pushed", 1),
        ("com.example.image_updated", 1),
        ("com.example.PUSH", 1),
        ("com.example.image.deleted", 0),
        ("com.example.image.pulled", 0),
        ("com.example.pusher.left", 0),
    ],
)
def test_types(kind, count):
    assert len(SOURCE.parse(STRUCTURED, encoded(changed(EVENT, "type", kind)))) == count


def _rows():
    repositories = {
        n: v for n, v in BAD_REPOSITORIES.items() if n not in ("with_tag", "with_digest", "null")
    }
    bad = {"repository": repositories, "tag": BAD_TAGS, "digest": BAD_DIGESTS, "host": BAD_HOSTS}
    for key, values in bad.items():
        for name, value in values.items():
            yield pytest.param(with_data({**FIELDS, key: value}), id=f"{key}-{name}")


@pytest.mark.parametrize(
    "document",
    [
        *_rows(),
        pytest.param(without(EVENT, "data"), id="nothing"),
        pytest.param(with_data([FIELDS]), id="array"),
        pytest.param(with_data({"repository": "team/app"}), id="neither"),
        pytest.param(with_data({"image": WHOLE, "digest": OTHER_DIGEST}), id="digests_differ"),
        pytest.param(with_data({"image": WHOLE, "tag": "2"}), id="tags_differ"),
        pytest.param(with_data({"image": WHOLE, "host": "evil.example"}), id="hosts_differ"),
        pytest.param(changed(EVENT, "specversion", "0.3"), id="version"),
    ],
)
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(STRUCTURED, encoded(document))
