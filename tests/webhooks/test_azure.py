"""Azure: its own webhooks, both schemas of Event Grid, and their handshakes."""

from __future__ import annotations

import json

import pytest
from support.webhook_samples import (
    BAD_DIGESTS,
    BAD_HOSTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    JSON,
    LAYER,
    OTHER_DIGEST,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import LimitExceededError, MalformedEventError
from scanner.ports.webhook import Reply
from scanner.webhooks.azure import SOURCE

HOST = "myregistry.azurecr.io"
NATIVE = {
    "id": "event-1",
    "timestamp": "2026-01-02T03:04:05Z",
    "action": "push",
    "target": {
        "mediaType": DOCKER_MANIFEST,
        "size": 524,
        "digest": DIGEST,
        "length": 524,
        "repository": "team/app",
        "tag": "1.2",
    },
    "request": {"id": "r", "host": HOST, "method": "PUT", "useragent": "docker/27"},
}
GRID = {
    "id": "grid-1",
    "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r",
    "subject": "team/app:1.2",
    "eventType": "Microsoft.ContainerRegistry.ImagePushed",
    "eventTime": "2026-01-02T03:04:05Z",
    "data": NATIVE,
    "dataVersion": "1.0",
}
CLOUD = {
    "specversion": "1.0",
    "id": "grid-1",
    "source": "/subscriptions/s",
    "type": "Microsoft.ContainerRegistry.ImagePushed",
    "data": NATIVE,
}
CLOUD_HEADERS = {"content-type": "application/cloudevents+json; charset=utf-8"}
VALIDATION = {
    "id": "v",
    "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
    "data": {
        "validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
        "validationUrl": "http://169.254.169.254/",
    },
}
VALIDATING = {**JSON, "aeg-event-type": "SubscriptionValidation"}


@pytest.mark.parametrize(
    ("document", "want"),
    [
        pytest.param(NATIVE, [image(host=HOST)], id="tagged"),
        pytest.param(without(NATIVE, "target.tag"), [image(host=HOST, tag="")], id="by_digest"),
        pytest.param(
            changed(NATIVE, "target.mediaType", DOCKER_LIST), [image(host=HOST)], id="index"
        ),
        pytest.param(changed(NATIVE, "target.mediaType", LAYER), [], id="layer"),
        pytest.param(changed(NATIVE, "action", "delete"), [], id="delete"),
        pytest.param(changed(NATIVE, "action", "quarantine"), [], id="quarantine"),
        pytest.param({"id": "p", "timestamp": "t", "action": "ping"}, [], id="ping"),
        pytest.param(
            {"id": "c", "action": "chart_push", "target": {"name": "chart", "version": "1"}},
            [],
            id="chart",
        ),
    ],
)
def test_every_schema(document, want):
    assert SOURCE.parse(JSON, encoded(document)) == want
    grid = changed(GRID, "data", document)
    assert SOURCE.parse(JSON, encoded([grid])) == want
    assert SOURCE.parse(JSON, encoded(grid)) == want
    assert SOURCE.parse(CLOUD_HEADERS, encoded(changed(CLOUD, "data", document))) == want


def test_several():
    other = changed(GRID, "data.target.digest", OTHER_DIGEST)
    deleted = changed(GRID, "eventType", "Microsoft.ContainerRegistry.ImageDeleted")
    want = [image(host=HOST), image(host=HOST, digest=OTHER_DIGEST)]
    assert SOURCE.parse(JSON, encoded([GRID, deleted, other])) == want


def test_uninteresting_cloudevent():
    event = changed(CLOUD, "type", "Microsoft.ContainerRegistry.ImageDeleted")
    assert SOURCE.parse(CLOUD_HEADERS, encoded(event)) == []


def _rows():
    bad = {
        "target.repository": BAD_REPOSITORIES,
        "target.tag": BAD_TAGS,
        "target.digest": BAD_DIGESTS,
        "request.host": BAD_HOSTS,
    }
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(NATIVE, path, value), id=f"{path}-{name}")


@pytest.mark.parametrize("document", [*_rows(), pytest.param({}, id="empty")])
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(document))
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded([changed(GRID, "data", document)]))
    with pytest.raises(MalformedEventError):
        SOURCE.parse(CLOUD_HEADERS, encoded(changed(CLOUD, "data", document)))


def test_bounds_the_events():
    with pytest.raises(LimitExceededError):
        SOURCE.parse(JSON, encoded([GRID] * 1_001))


@pytest.mark.parametrize("document", [[VALIDATION], VALIDATION], ids=["array", "single"])
def test_answers_validation(document):
    reply = SOURCE.reply(VALIDATING, encoded(document))
    assert reply is not None
    assert (reply.status, reply.media_type) == (200, "application/json")
    assert json.loads(reply.body) == {"validationResponse": VALIDATION["data"]["validationCode"]}
    assert SOURCE.parse(VALIDATING, encoded(document)) == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param(JSON, encoded([VALIDATION]), id="no_header"),
        pytest.param(VALIDATING, encoded([GRID]), id="another_event"),
        pytest.param(VALIDATING, b"[" * 100_000, id="nested"),
        pytest.param(VALIDATING, b"[]", id="empty"),
        pytest.param(
            VALIDATING, encoded(changed(VALIDATION, "data.validationCode", "<script>")), id="markup"
        ),
        pytest.param(
            VALIDATING, encoded(changed(VALIDATION, "data.validationCode", "a" * 129)), id="long"
        ),
        pytest.param(VALIDATING, encoded(changed(VALIDATION, "data.validationCode", 7)), id="type"),
    ],
)
def test_repeats_nothing_unchecked(headers, body):
    assert SOURCE.reply(headers, body) is None


def test_allows_the_sender_of_cloudevents():
    origin = "eventgrid.azure.net"
    want = {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*"}
    assert SOURCE.reply({"webhook-request-origin": origin}, b"") == Reply(headers=want)
