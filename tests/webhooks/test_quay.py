"""Quay: tags without digests."""

from __future__ import annotations

import pytest
from support.webhook_samples import (
    BAD_HOSTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    JSON,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import LimitExceededError, MalformedEventError
from scanner.webhooks.quay import SOURCE

EVENT = {
    "repository": "team/app",
    "namespace": "team",
    "name": "app",
    "docker_url": "registry.example:5000/team/app",
    "homepage": "https://registry.example:5000/repository/team/app",
    "updated_tags": ["1.2"],
}


def tagged(tag):
    return image(tag=tag, digest="", event_id="")


@pytest.mark.parametrize(
    ("document", "want"),
    [
        pytest.param(EVENT, [tagged("1.2")], id="one"),
        pytest.param(
            changed(EVENT, "updated_tags", ["1.2", "latest"]),
            [tagged("1.2"), tagged("latest")],
            id="several",
        ),
        pytest.param(changed(EVENT, "updated_tags", []), [], id="none"),
        pytest.param({**EVENT, "pruned_image_count": 3}, [tagged("1.2")], id="old"),
        pytest.param(
            {**without(EVENT, "updated_tags"), "build_id": "b"}, [], id="build_notification"
        ),
    ],
)
def test_parse(document, want):
    assert SOURCE.parse(JSON, encoded(document)) == want


def _rows():
    hosts = {n: f"{h}/team/app" for n, h in BAD_HOSTS.items() if n not in ("path", "number")}
    tags = {name: [value] for name, value in BAD_TAGS.items()}
    bad = {
        "repository": BAD_REPOSITORIES,
        "docker_url": {**hosts, "number": 7, "empty": ""},
        "updated_tags": {**tags, "table": {"1.2": "id"}, "empty_tag": [""], "null": None},
    }
    for key, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(EVENT, key, value), id=f"{key}-{name}")


@pytest.mark.parametrize("document", [*_rows(), pytest.param({}, id="empty")])
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(document))


def test_bounds_the_tags():
    with pytest.raises(LimitExceededError):
        SOURCE.parse(JSON, encoded(changed(EVENT, "updated_tags", ["1.2"] * 1_001)))
