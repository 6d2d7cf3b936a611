"""Docker Hub: tags without digests; nothing in the body is a place to connect to."""

from __future__ import annotations

import pytest
from support.webhook_samples import (
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    JSON,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import MalformedEventError
from scanner.webhooks.docker_hub import SOURCE

EVENT = {
    "callback_url": "http://169.254.169.254/latest/meta-data/",
    "push_data": {"pushed_at": 1767323045.5, "pusher": "ci", "tag": "1.2", "images": []},
    "repository": {
        "repo_name": "team/app",
        "name": "app",
        "namespace": "team",
        "repo_url": "https://evil.example/r/team/app",
        "date_created": 1.4e9,
    },
}


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        pytest.param(EVENT, {}, id="usual"),
        pytest.param(changed(EVENT, "push_data.tag", DIGEST), {"tag": "", "digest": DIGEST}, id="digest"),
        pytest.param(
            changed(EVENT, "repository.repo_name", "alpine"),
            {"repository": "library/alpine"},
            id="official",
        ),
    ],
)  # fmt: skip
def test_parse(document, parts):
    want = {"host": "docker.io", "digest": "", "event_id": "", **parts}
    assert SOURCE.parse(JSON, encoded(document)) == [image(**want)]


def _rows():
    bad = {
        "repository.repo_name": BAD_REPOSITORIES,
        "push_data.tag": {**BAD_TAGS, "null": None, "empty": ""},
    }
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(EVENT, path, value), id=f"{path}-{name}")


@pytest.mark.parametrize(
    "document",
    [
        *_rows(),
        pytest.param(without(EVENT, "push_data"), id="no_push_data"),
        pytest.param(without(EVENT, "repository"), id="no_repository"),
        pytest.param([EVENT], id="array"),
    ],
)
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(document))
