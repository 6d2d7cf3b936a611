"""Gitea and Forgejo: also with the headers of others that they send along."""

from __future__ import annotations

from urllib.parse import urlencode

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
from scanner.webhooks.gitea import SOURCE

HEADERS = {
    **JSON,
    "x-gitea-event": "package",
    "x-gitea-event-type": "package",
    "x-gitea-delivery": "event-1",
    "x-gogs-event": "package",
    "x-github-event": "package",
    "x-github-delivery": "event-1",
}
EVENT = {
    "action": "created",
    "repository": None,
    "package": {
        "id": 5,
        "owner": {"login": "team"},
        "repository": None,
        "creator": {"login": "ci"},
        "type": "container",
        "name": "app",
        "version": "1.2",
        "html_url": "https://git.example:3000/team/-/packages/container/app/1.2",
    },
    "organization": None,
    "sender": {"login": "ci"},
}


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        pytest.param(EVENT, {}, id="tagged"),
        pytest.param(
            changed(EVENT, "package.version", DIGEST), {"tag": "", "digest": DIGEST}, id="by_digest"
        ),
        pytest.param(changed(EVENT, "package.owner.login", "Team"), {}, id="owner_in_upper_case"),
        pytest.param(
            changed(EVENT, "package.name", "app/sub"), {"repository": "team/app/sub"}, id="nested"
        ),
        pytest.param(without(EVENT, "package.html_url"), {"host": ""}, id="no_url"),
    ],
)
def test_parse(document, parts):
    want = [image(**{"host": "git.example:3000", "digest": "", **parts})]
    assert SOURCE.parse(HEADERS, encoded(document)) == want
    form = {**HEADERS, "content-type": "application/x-www-form-urlencoded"}
    assert SOURCE.parse(form, urlencode({"payload": encoded(document).decode()}).encode()) == want


def test_forgejo():
    headers = {**HEADERS, "x-forgejo-event": "package"}
    assert len(SOURCE.parse(headers, encoded(EVENT))) == 1
    del headers["x-gitea-event"]
    assert len(SOURCE.parse(headers, encoded(EVENT))) == 1


@pytest.mark.parametrize(
    ("headers", "document"),
    [
        pytest.param({**HEADERS, "x-gitea-event": "push"}, {"ref": "r"}, id="push"),
        pytest.param(HEADERS, changed(EVENT, "action", "deleted"), id="deleted"),
        pytest.param(HEADERS, changed(EVENT, "package.type", "npm"), id="npm"),
    ],
)
def test_uninteresting(headers, document):
    assert SOURCE.parse(headers, encoded(document)) == []


def _rows():
    names = {n: v for n, v in BAD_REPOSITORIES.items() if n != "upper_case"}
    bad = {
        "package.name": names,
        "package.owner.login": {n: v for n, v in names.items() if n != "slash_first"},
        "package.version": {**BAD_TAGS, "null": None, "empty": ""},
        "package.html_url": {
            "user": "https://a@evil.example/x",
            "crlf": "https://a.b\r\n/",
            "type": 7,
        },
        "package.owner": {"list": [], "null": None},
    }
    for path, values in bad.items():
        for name, value in values.items():
            yield pytest.param(changed(EVENT, path, value), id=f"{path}-{name}")


@pytest.mark.parametrize("document", [*_rows(), pytest.param(without(EVENT, "package"), id="none")])
def test_refuses(document):
    with pytest.raises(MalformedEventError):
        SOURCE.parse(HEADERS, encoded(document))


def test_refuses_without_event():
    with pytest.raises(MalformedEventError):
        SOURCE.parse({**JSON, "x-github-event": "package"}, encoded(EVENT))
