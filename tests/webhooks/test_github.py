"""GitHub: two events of the same, JSON or form; the ping."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from support.webhook_samples import (
    BAD_REPOSITORIES,
    BAD_TAGS,
    DIGEST,
    INDEX,
    JSON,
    OTHER_DIGEST,
    changed,
    encoded,
    image,
    without,
)

from scanner.errors import MalformedEventError
from scanner.ports.webhook import Reply
from scanner.webhooks.github import SOURCE

HEADERS = {**JSON, "x-github-event": "package", "x-github-delivery": "event-1"}
FORM = {**HEADERS, "content-type": "application/x-www-form-urlencoded"}
PACKAGE = {
    "id": 1,
    "name": "app",
    "namespace": "team",
    "ecosystem": "CONTAINER",
    "package_type": "CONTAINER",
    "package_version": {
        "id": 2,
        "version": DIGEST,
        "name": DIGEST,
        "package_url": "ghcr.io/team/app:1.2",
        "container_metadata": {
            "tag": {"name": "1.2", "digest": DIGEST},
            "labels": {},
            "manifest": {"digest": DIGEST, "media_type": INDEX, "size": 1},
        },
    },
    "registry": {"url": "https://ghcr.io/team", "type": "CONTAINER"},
}
EVENT = {"action": "published", "package": PACKAGE, "repository": None, "sender": {"login": "ci"}}
VERSION = "package.package_version"
TAG = f"{VERSION}.container_metadata.tag"
UNTAGGED = changed(changed(EVENT, f"{VERSION}.package_url", "ghcr.io/team/app:"), f"{TAG}.name", "")


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        pytest.param(EVENT, {}, id="tagged"),
        pytest.param(changed(EVENT, "action", "updated"), {}, id="updated"),
        pytest.param(changed(EVENT, "package.package_type", "docker"), {}, id="docker"),
        pytest.param(changed(EVENT, "package.package_type", "container"), {}, id="lower_case"),
        pytest.param(UNTAGGED, {"tag": ""}, id="untagged_child"),
        pytest.param(without(EVENT, f"{VERSION}.container_metadata"), {}, id="no_metadata"),
        pytest.param(
            changed(EVENT, f"{TAG}.digest", OTHER_DIGEST), {"digest": OTHER_DIGEST}, id="tag_digest"
        ),
        pytest.param(changed(EVENT, f"{TAG}.digest", ""), {}, id="version_is_the_digest"),
        pytest.param(
            changed(EVENT, f"{VERSION}.package_url", "ghcr.io/Team/App:1.2"), {}, id="upper_case"
        ),
        pytest.param(
            changed(EVENT, f"{VERSION}.package_url", "containers.git.example/team/app:1.2"),
            {"host": "containers.git.example"},
            id="enterprise_server",
        ),
    ],
)
def test_parse(document, parts):
    want = [image(**{"host": "ghcr.io", **parts})]
    assert SOURCE.parse(HEADERS, encoded(document)) == want
    form = urlencode({"payload": encoded(document).decode()}).encode()
    assert SOURCE.parse(FORM, form) == want


def test_registry_package():
    document = {**without(EVENT, "package"), "registry_package": PACKAGE}
    headers = {**HEADERS, "x-github-event": "registry_package"}
    assert SOURCE.parse(headers, encoded(document)) == [image(host="ghcr.io")]


@pytest.mark.parametrize(
    ("headers", "document"),
    [
        pytest.param({**HEADERS, "x-github-event": "push"}, {"ref": "refs/heads/main"}, id="push"),
        pytest.param({**HEADERS, "x-github-event": "ping"}, {"zen": "Z", "hook_id": 1}, id="ping"),
        pytest.param(HEADERS, changed(EVENT, "action", "deleted"), id="deleted"),
        pytest.param(HEADERS, changed(EVENT, "package.package_type", "npm"), id="npm"),
    ],
)
def test_uninteresting(headers, document):
    assert SOURCE.parse(headers, encoded(document)) == []


def _rows():
    lowered = {
        n: v
        for n, v in BAD_REPOSITORIES.items()
        if n not in ("upper_case", "with_tag", "with_digest")
    }
    for name, value in lowered.items():
        url = f"ghcr.io/{value}" if isinstance(value, str) else value
        yield pytest.param(changed(EVENT, f"{VERSION}.package_url", url), id=f"url-{name}")
    for name, value in BAD_TAGS.items():
        yield pytest.param(changed(EVENT, f"{TAG}.name", value), id=f"tag-{name}")
    for url in ("team/app:1.2", "a@ghcr.io/team/app:1.2", "https://ghcr.io/team/app"):
        yield pytest.param(changed(EVENT, f"{VERSION}.package_url", url), id=url)


@pytest.mark.parametrize(
    "document",
    [
        *_rows(),
        pytest.param(without(EVENT, "package"), id="no_package"),
        pytest.param(changed(EVENT, VERSION, None), id="no_version"),
        pytest.param(changed(EVENT, f"{VERSION}.container_metadata", []), id="metadata"),
        pytest.param(changed(EVENT, f"{TAG}.digest", "sha256:abcd"), id="digest"),
        pytest.param(changed(UNTAGGED, f"{TAG}.digest", "") | {"package": without(UNTAGGED, f"{TAG}.digest")["package"] | {"package_version": {"package_url": "ghcr.io/team/app:"}}}, id="neither"),
    ],
)  # fmt: skip
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(HEADERS, encoded(document))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"other=%7B%7D", id="no_payload"),
        pytest.param(b"payload=%7B%7D&payload=%7B%7D", id="twice"),
        pytest.param(b"payload=%ff", id="not_utf8"),
        pytest.param(b"payload=" + b"\xff", id="not_ascii"),
        pytest.param(b"a=1&" * 100_000, id="fields"),
        pytest.param(b"payload=" + b"%5B" * 100_000, id="nested"),
    ],
)
def test_refuses_form(body):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(FORM, body)


def test_refuses_without_event():
    with pytest.raises(MalformedEventError):
        SOURCE.parse(JSON, encoded(EVENT))


def test_answers_ping():
    assert SOURCE.reply({"x-github-event": "ping"}, b'{"zen":"Z"}') == Reply()
    assert SOURCE.reply(HEADERS, encoded(EVENT)) is None
