"""JFrog Artifactory."""

from __future__ import annotations

import pytest
from support.webhook_samples import (
    BAD_HOSTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    JSON,
    OTHER_DIGEST,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import MalformedEventError
from scanner.webhooks.jfrog import SOURCE

EVENT = {
    "domain": "docker",
    "event_type": "pushed",
    "data": {
        "repo_key": "docker-local",
        "path": "team/app/1.2/manifest.json",
        "name": "manifest.json",
        "sha256": DIGEST.removeprefix("sha256:"),
        "size": 1362,
        "image_name": "team/app",
        "image_type": "docker",
        "tag": "1.2",
    },
    "subscription_key": "my-hook",
    "jpd_origin": "https://acme.jfrog.example",
    "source": "jfrog/admin",
}


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        pytest.param(EVENT, {}, id="tagged"),
        pytest.param(changed(EVENT, "data.name", "list.manifest.json"), {}, id="index"),
        pytest.param(changed(EVENT, "data.tag", DIGEST), {"tag": ""}, id="child"),
        pytest.param(
            changed(EVENT, "data.tag", DIGEST.replace(":", "__")), {"tag": ""}, id="flat_digest"
        ),
        pytest.param(without(EVENT, "data.image_type"), {}, id="old"),
        pytest.param(without(EVENT, "jpd_origin"), {"host": ""}, id="no_origin"),
    ],
)
def test_parse(document, parts):
    want = {"host": "acme.jfrog.example", "repository": "docker-local/team/app", "event_id": ""}
    assert SOURCE.parse(JSON, encoded(document)) == [image(**{**want, **parts})]


@pytest.mark.parametrize(
    ("key", "value"),
    [("event_type", "deleted"), ("event_type", "promoted"), ("domain", "artifact")],
)
def test_uninteresting(key, value):
    assert SOURCE.parse(JSON, encoded(changed(EVENT, key, value))) == []


def _rows():
    hosts = {
        n: f"https://{h}" if isinstance(h, str) else h for n, h in BAD_HOSTS.items() if n != "path"
    }
    bad = {
        "data.image_name": BAD_REPOSITORIES,
        "data.repo_key": {"parent": "..", "crlf": "a\r\n", "type": 7, "null": None},
        "data.tag": {**BAD_TAGS, "other_digest": OTHER_DIGEST, "null": None},
        "data.sha256": {"short": "ab", "prefixed": DIGEST, "type": 7, "upper_case": "AB" * 32},
        "jpd_origin": hosts,
        "data": {"list": [], "null": None},
    }
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(EVENT, path, value), id=f"{path}-{name}")


@pytest.mark.parametrize("document", [*_rows(), pytest.param({}, id="empty")])
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(document))
