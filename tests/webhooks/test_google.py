"""Google: references in base64 in JSON."""

from __future__ import annotations

import base64

import pytest
from support.webhook_samples import (
    BAD_DIGESTS,
    BAD_HOSTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    JSON,
    encoded,
    image,
    without,
)

from scanner.errors import MalformedEventError
from scanner.webhooks.google import SOURCE

HOST = "europe-docker.pkg.dev"
NAME = f"{HOST}/project/repo/app"
EVENT = {"action": "INSERT", "digest": f"{NAME}@{DIGEST}", "tag": f"{NAME}:1.2"}
WANT = image(host=HOST, repository="project/repo/app")


def enveloped(event):
    data = base64.b64encode(encoded(event)).decode()
    message = {"data": data, "messageId": "event-1", "attributes": {}}
    return encoded({"message": message, "subscription": "projects/p/subscriptions/s"})


@pytest.mark.parametrize(
    ("event", "parts"),
    [
        pytest.param(EVENT, {}, id="tagged"),
        pytest.param(without(EVENT, "tag"), {"tag": ""}, id="untagged"),
        pytest.param(without(EVENT, "digest"), {"digest": ""}, id="tag_only"),
        pytest.param(
            {"action": "INSERT", "digest": f"gcr.io/project/app@{DIGEST}"},
            {"host": "gcr.io", "repository": "project/app", "tag": ""},
            id="gcr",
        ),
    ],
)
def test_parse(event, parts):
    want = {"host": HOST, "repository": "project/repo/app", **parts}
    assert SOURCE.parse(JSON, enveloped(event)) == [image(**want)]


@pytest.mark.parametrize(
    "event",
    [{"action": "DELETE", "tag": f"{NAME}:1.2"}, {"action": "DELETE", "digest": f"{NAME}@{DIGEST}"}],
    ids=["tag", "digest"],
)  # fmt: skip
def test_uninteresting(event):
    assert SOURCE.parse(JSON, enveloped(event)) == []


def _rows():
    names = ("with_tag", "with_digest", "number", "list", "null", "empty")
    for name, value in BAD_REPOSITORIES.items():
        if name not in names:
            event = {"action": "INSERT", "digest": f"{HOST}/{value}@{DIGEST}"}
            yield pytest.param(event, id=f"repository-{name}")
    for name, value in BAD_TAGS.items():
        if isinstance(value, str):
            event = {"action": "INSERT", "tag": f"{NAME}:{value}"}
            if name != "at":
                yield pytest.param(event, id=f"tag-{name}")
    for name, value in BAD_DIGESTS.items():
        yield pytest.param({"action": "INSERT", "digest": f"{NAME}@{value}"}, id=f"digest-{name}")
    for name, value in BAD_HOSTS.items():
        if name not in ("path", "number"):
            event = {"action": "INSERT", "digest": f"{value}/project/app@{DIGEST}"}
            yield pytest.param(event, id=f"host-{name}")


@pytest.mark.parametrize(
    "event",
    [
        *_rows(),
        pytest.param({"action": "INSERT"}, id="neither"),
        pytest.param({"action": "INSERT", "digest": 7}, id="type"),
        pytest.param({"action": "INSERT", "digest": f"project/app@{DIGEST}"}, id="no_host"),
        pytest.param({**EVENT, "tag": f"{HOST}/project/repo/other:1.2"}, id="two_repositories"),
        pytest.param({**EVENT, "tag": "evil.example/project/repo/app:1.2"}, id="two_hosts"),
        pytest.param({"digest": f"{NAME}@{DIGEST}"}, id="no_action"),
        pytest.param([EVENT], id="array"),
    ],
)
def test_refuses(event):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, enveloped(event))


@pytest.mark.parametrize(
    "document",
    [{}, {"message": None}, {"message": {}}, {"message": {"data": "!"}}, {"message": {"data": "ä"}},
     {"message": {"data": "e30"}}, {"message": {"data": 7}}, {"message": {"data": "/w=="}}],
)  # fmt: skip
def test_refuses_envelope(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(document))
