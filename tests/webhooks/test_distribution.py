"""CNCF Distribution's envelopes: what is a push of an image, and what is none."""

from __future__ import annotations

import pytest
from support.webhook_samples import (
    BAD_DIGESTS,
    BAD_HOSTS,
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    MANIFEST,
    OTHER_DIGEST,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import LimitExceededError, MalformedEventError
from scanner.webhooks.distribution import SOURCE

V2 = {"content-type": "application/vnd.docker.distribution.events.v2+json"}
EVENT = {
    "id": "event-1",
    "timestamp": "2026-01-02T03:04:05.6789Z",
    "action": "push",
    "target": {
        "mediaType": MANIFEST,
        "digest": DIGEST,
        "size": 1362,
        "length": 1362,
        "repository": "team/app",
        "url": f"https://registry.example:5000/v2/team/app/manifests/{DIGEST}",
        "tag": "1.2",
    },
    "request": {"id": "r", "addr": "10.0.0.9:40112", "host": "registry.example:5000"},
    "actor": {"name": "ci"},
    "source": {"addr": "registry-0:5000", "instanceID": "i"},
}
ENVELOPE = {"events": [EVENT]}
TAGGED = "events.0.target.tag"


def parsed(document, headers=V2):
    return SOURCE.parse(headers, encoded(document))


def of_type(media_type):
    return changed(ENVELOPE, "events.0.target.mediaType", media_type)


def of_action(action):
    return changed(ENVELOPE, "events.0.action", action)


@pytest.mark.parametrize(
    ("document", "want"),
    [
        pytest.param(ENVELOPE, [image()], id="tagged"),
        pytest.param(without(ENVELOPE, TAGGED), [image(tag="")], id="by_digest"),
        pytest.param(changed(ENVELOPE, TAGGED, None), [image(tag="")], id="null_tag"),
        pytest.param(of_type(INDEX), [image()], id="index"),
        pytest.param(of_type(DOCKER_MANIFEST), [image()], id="docker_manifest"),
        pytest.param(of_type(DOCKER_LIST), [image()], id="docker_list"),
        pytest.param(
            changed(ENVELOPE, "events.0.request.host", "Registry.EXAMPLE"),
            [image(host="registry.example")],
            id="host_in_upper_case",
        ),
        pytest.param(
            changed(ENVELOPE, "events.0.request.host", "[::1]:5000"),
            [image(host="[::1]:5000")],
            id="ipv6_host",
        ),
        pytest.param(without(ENVELOPE, "events.0.request"), [image(host="")], id="no_host"),
        pytest.param(
            changed(ENVELOPE, "events.0.target.repository", "group/project/sub/image"),
            [image(repository="group/project/sub/image")],
            id="project_of_gitlab",
        ),
        pytest.param(
            {
                "events": [
                    without(EVENT, "target.tag"),
                    changed(EVENT, "target.mediaType", LAYER),
                    changed(EVENT, "target.digest", OTHER_DIGEST),
                    changed(EVENT, "action", "pull"),
                ]
            },
            [image(tag=""), image(digest=OTHER_DIGEST)],
            id="several",
        ),
        pytest.param(
            changed(ENVELOPE, "events.0.id", "a\r\nb"), [image(event_id="")], id="id_with_crlf"
        ),
        pytest.param(changed(ENVELOPE, "events.0.id", 7), [image(event_id="")], id="id_number"),
        pytest.param({"events": []}, [], id="none"),
        pytest.param(of_type(LAYER), [], id="layer"),
        pytest.param(of_type("application/octet-stream"), [], id="blob"),
        pytest.param(
            of_type("application/vnd.docker.distribution.manifest.v1+prettyjws"), [], id="schema1"
        ),
        pytest.param(of_action("pull"), [], id="pull"),
        pytest.param(of_action("mount"), [], id="mount"),
        pytest.param(
            {"events": [{"id": "d", "action": "delete", "target": {"repository": "team/app"}}]},
            [],
            id="delete",
        ),
    ],
)
def test_parse(document, want):
    assert parsed(document) == want


@pytest.mark.parametrize(
    "content_type",
    [
        "application/vnd.docker.distribution.events.v1+json",
        "Application/vnd.docker.distribution.events.v2+json; charset=utf-8",
        "application/json",
        "",
    ],
)
def test_content_types(content_type):
    assert parsed(ENVELOPE, {"content-type": content_type}) == [image()]


def _rows():
    bad = {
        "target.repository": BAD_REPOSITORIES,
        "target.tag": BAD_TAGS,
        "target.digest": {**BAD_DIGESTS, "null": None, "empty": ""},
        "request.host": BAD_HOSTS,
    }
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(ENVELOPE, f"events.0.{path}", value), id=f"{path}-{name}")


@pytest.mark.parametrize(
    "document",
    [
        *_rows(),
        pytest.param(without(ENVELOPE, "events.0.target"), id="no_target"),
        pytest.param(without(ENVELOPE, "events.0.action"), id="no_action"),
        pytest.param({"events": EVENT}, id="not_an_array"),
        pytest.param({"events": [7]}, id="not_an_event"),
        pytest.param({"events": None}, id="null"),
        pytest.param({}, id="no_events"),
        pytest.param([EVENT], id="no_envelope"),
    ],
)
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        parsed(document)


def test_refuses_another_content_type():
    with pytest.raises(MalformedEventError):
        parsed(ENVELOPE, {"content-type": "application/cloudevents+json"})


def test_bounds_the_events():
    assert len(parsed({"events": [EVENT] * 1_000})) == 1_000
    with pytest.raises(LimitExceededError) as caught:
        parsed({"events": [EVENT] * 1_001})
    assert (caught.value.allowed, caught.value.seen, caught.value.hint) == (1_000, 1_001, "")
