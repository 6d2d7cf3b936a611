"""Harbor: both formats say the same."""

from __future__ import annotations

import pytest
from support.webhook_samples import (
    BAD_DIGESTS,
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

from scanner.errors import LimitExceededError, MalformedEventError
from scanner.webhooks.harbor import SOURCE

CLOUD = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
RESOURCE = {"digest": DIGEST, "tag": "1.2", "resource_url": "registry.example:5000/team/app:1.2"}
DATA = {
    "resources": [RESOURCE],
    "repository": {
        "date_created": 1767000000,
        "name": "app",
        "namespace": "team",
        "repo_full_name": "team/app",
        "repo_type": "private",
    },
}
DEFAULT = {
    "type": "PUSH_ARTIFACT",
    "occur_at": 1767323045,
    "operator": "robot$ci",
    "event_data": DATA,
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "event-1",
    "source": "/projects/7/webhook/policies/3",
    "type": "harbor.artifact.pushed",
    "datacontenttype": "application/json",
    "time": "2026-01-02T03:04:05Z",
    "operator": "robot$ci",
    "data": DATA,
}
BY_DIGEST = {
    "digest": DIGEST,
    "tag": DIGEST,
    "resource_url": f"registry.example:5000/team/app@{DIGEST}",
}
DATA_ROWS = [
    pytest.param(DATA, [{}], id="tagged"),
    pytest.param(changed(DATA, "resources", [BY_DIGEST]), [{"tag": ""}], id="digest_as_tag"),
    pytest.param(
        without(DATA, "resources.0.tag"),
        [{"tag": ""}],
        id="no_tag",
    ),
    pytest.param(
        changed(DATA, "resources", [RESOURCE, changed(RESOURCE, "digest", OTHER_DIGEST)]),
        [{}, {"digest": OTHER_DIGEST}],
        id="several",
    ),
    pytest.param(without(DATA, "repository.date_created"), [{}], id="no_date"),
    pytest.param(without(DATA, "resources.0.resource_url"), [{"host": ""}], id="no_url"),
    pytest.param(
        changed(DATA, "repository.repo_full_name", "team/deep/app"),
        [{"repository": "team/deep/app"}],
        id="nested",
    ),
    pytest.param(changed(DATA, "resources", []), [], id="no_resources"),
]


@pytest.mark.parametrize(("data", "want"), DATA_ROWS)
def test_default(data, want):
    body = encoded(changed(DEFAULT, "event_data", data))
    assert SOURCE.parse(JSON, body) == [image(**{"event_id": "", **parts}) for parts in want]


@pytest.mark.parametrize(("data", "want"), DATA_ROWS)
def test_cloudevents(data, want):
    body = encoded(changed(CLOUD_EVENT, "data", data))
    assert SOURCE.parse(CLOUD, body) == [image(**parts) for parts in want]


def test_batch():
    other = changed(CLOUD_EVENT, "type", "harbor.artifact.deleted")
    assert SOURCE.parse(BATCH, encoded([CLOUD_EVENT, other, CLOUD_EVENT])) == [image()] * 2


@pytest.mark.parametrize(
    "kind",
    ["PULL_ARTIFACT", "DELETE_ARTIFACT", "SCANNING_COMPLETED", "QUOTA_EXCEED", "TAG_RETENTION"],
)
def test_uninteresting(kind):
    assert SOURCE.parse(JSON, encoded(changed(DEFAULT, "type", kind))) == []


def test_replication_is_told_of_as_a_push_too():
    event = {"type": "REPLICATION", "event_data": {"replication": {"job_status": "Success"}}}
    assert SOURCE.parse(JSON, encoded(event)) == []


@pytest.mark.parametrize(
    "kind", ["harbor.artifact.pulled", "harbor.scan.completed", "harbor.quota.exceeded"]
)
def test_uninteresting_cloudevent(kind):
    assert SOURCE.parse(CLOUD, encoded(changed(CLOUD_EVENT, "type", kind))) == []


def _rows():
    bad = {
        "repository.repo_full_name": BAD_REPOSITORIES,
        "resources.0.tag": BAD_TAGS,
        "resources.0.digest": BAD_DIGESTS,
        "resources.0.resource_url": {
            "user": "registry.example@evil.example/team/app:1.2",
            "crlf": "registry.example\r\n/team/app:1.2",
            "number": 7,
        },
        "resources.0": {"number": 7},
        "resources": {"number": 7, "null": None},
    }
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(DATA, path, value), id=f"{path}-{name}")


@pytest.mark.parametrize(
    "data", [*_rows(), pytest.param(7, id="data"), pytest.param(None, id="null")]
)
def test_refuses(data):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(changed(DEFAULT, "event_data", data)))
    with pytest.raises(MalformedEventError):
        SOURCE.parse(CLOUD, encoded(changed(CLOUD_EVENT, "data", data)))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(changed(CLOUD_EVENT, "specversion", "0.3"), id="old_version"),
        pytest.param(without(CLOUD_EVENT, "id"), id="no_id"),
        pytest.param(without(CLOUD_EVENT, "type"), id="no_type"),
        pytest.param([CLOUD_EVENT], id="batch_unannounced"),
    ],
)
def test_refuses_cloudevent(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(CLOUD, encoded(document))


def test_refuses_contradicting_digests():
    data = changed(changed(DATA, "resources.0.tag", OTHER_DIGEST), "resources.0.digest", DIGEST)
    with pytest.raises(MalformedEventError, match="two different digests"):
        SOURCE.parse(JSON, encoded(changed(DEFAULT, "event_data", data)))


def test_bounds_the_pushes_of_a_batch():
    full = changed(CLOUD_EVENT, "data", changed(DATA, "resources", [RESOURCE] * 600))
    with pytest.raises(LimitExceededError):
        SOURCE.parse(BATCH, encoded([full, full]))
    with pytest.raises(LimitExceededError):
        SOURCE.parse(BATCH, encoded([{}] * 1_001))
