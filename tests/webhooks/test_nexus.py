"""Sonatype Nexus: components and assets."""

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
from scanner.webhooks.nexus import SOURCE

HEADERS = {
    **JSON,
    "x-nexus-webhook-id": "rm:repository:component",
    "x-nexus-webhook-delivery": "event-1",
}
COMMON = {
    "timestamp": "2026-01-02T03:04:05.678+0000",
    "nodeId": "n",
    "initiator": "ci/10.0.0.9",
    "repositoryName": "docker-hosted",
    "action": "CREATED",
}
COMPONENT = {
    **COMMON,
    "component": {
        "id": "i",
        "componentId": "c",
        "format": "docker",
        "name": "team/app",
        "group": None,
        "version": "1.2",
    },
}
ASSET = {
    **COMMON,
    "asset": {"id": "i", "assetId": "a", "format": "docker", "name": "v2/team/app/manifests/1.2"},
}


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        pytest.param(COMPONENT, {}, id="component"),
        pytest.param(changed(COMPONENT, "action", "UPDATED"), {}, id="updated"),
        pytest.param(
            changed(COMPONENT, "component.version", DIGEST),
            {"tag": "", "digest": DIGEST},
            id="component_by_digest",
        ),
        pytest.param(ASSET, {}, id="asset"),
        pytest.param(
            changed(ASSET, "asset.name", f"/v2/team/app/manifests/{DIGEST}"),
            {"tag": "", "digest": DIGEST},
            id="asset_by_digest",
        ),
        pytest.param(
            changed(ASSET, "asset.name", "v2/manifests/manifests/1.2"),
            {"repository": "manifests"},
            id="image_called_manifests",
        ),
    ],
)
def test_parse(document, parts):
    want = [image(**{"host": "", "digest": "", **parts})]
    assert SOURCE.parse(HEADERS, encoded(document)) == want


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(changed(COMPONENT, "action", "DELETED"), id="deleted"),
        pytest.param(changed(COMPONENT, "action", "PURGED"), id="purged"),
        pytest.param(changed(COMPONENT, "component.format", "maven2"), id="maven"),
        pytest.param(changed(ASSET, "asset.format", "raw"), id="raw"),
        pytest.param(changed(ASSET, "asset.name", f"v2/-/blobs/{DIGEST}"), id="blob"),
    ],
)
def test_uninteresting(document):
    assert SOURCE.parse(HEADERS, encoded(document)) == []


def _rows():
    tags = {**BAD_TAGS, "null": None, "empty": ""}
    bad = {"component.name": BAD_REPOSITORIES, "component.version": tags}
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(COMPONENT, path, value), id=f"{path}-{name}")
    for name, value in BAD_REPOSITORIES.items():
        path = f"v2/{value}/manifests/1.2" if isinstance(value, str) else value
        yield pytest.param(changed(ASSET, "asset.name", path), id=f"asset-{name}")


@pytest.mark.parametrize(
    "document",
    [
        *_rows(),
        pytest.param(changed(ASSET, "asset.name", "v2/_catalog"), id="catalogue"),
        pytest.param(changed(ASSET, "asset", []), id="asset_list"),
        pytest.param(without(COMPONENT, "component"), id="neither"),
        pytest.param(without(COMPONENT, "action"), id="no_action"),
    ],
)
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(HEADERS, encoded(document))
