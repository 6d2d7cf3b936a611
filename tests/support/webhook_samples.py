"""Parts of webhook bodies, and what no body may do."""

from __future__ import annotations

import json
from typing import Any

from scanner.ports.webhook import ImagePushed

DIGEST = "sha256:" + "ab" * 32
OTHER_DIGEST = "sha256:" + "cd" * 32
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
JSON = {"content-type": "application/json"}

BAD_REPOSITORIES = {
    "parent": "../../etc/passwd",
    "parent_inside": "team/../app",
    "crlf": "team/app\r\nHost: evil.example",
    "newline_at_end": "team/app\n",
    "upper_case": "Team/App",
    "long": "a" * 10_000,
    "url": "https://evil.example/team/app",
    "with_tag": "team/app:1.2",
    "with_digest": f"team/app@{DIGEST}",
    "nul": "team/app\x00",
    "query": "team/app?x=1",
    "empty_part": "team//app",
    "slash_first": "/team/app",
    "slash_last": "team/app/",
    "not_ascii": "team/äpp",
    "number": 7,
    "list": ["team/app"],
    "null": None,
    "empty": "",
}
BAD_TAGS = {
    "parent": "../1.2",
    "crlf": "1.2\r\nX: y",
    "newline_at_end": "1.2\n",
    "long": "a" * 10_000,
    "at": f"1.2@{DIGEST}",
    "blank": "1 2",
    "dash_first": "-rf",
    "not_ascii": "1.\uff12",
    "number": 1.2,
    "table": {"name": "1.2"},
}
BAD_DIGESTS = {
    "no_algorithm": "ab" * 32,
    "short": "sha256:abcd",
    "upper_case": "sha256:" + "AB" * 32,
    "long": "sha256:" + "a" * 10_000,
    "other_algorithm": "md5:" + "ab" * 16,
    "newline_at_end": DIGEST + "\n",
    "path": "sha256:../../../etc/passwd",
    "number": 7,
    "true": True,
}
BAD_HOSTS = {
    "user": "registry.example@evil.example",
    "path": "registry.example/evil",
    "crlf": "registry.example\r\nX: y",
    "port": "registry.example:99999",
    "blank": "registry .example",
    "long": "a" * 10_000 + ".example",
    "no_dot": "registry",
    "query": "registry.example?x",
    "number": 7,
}


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def image(**parts: str) -> ImagePushed:
    """The push that most samples tell of, with parts changed."""
    usual = {
        "host": "registry.example:5000",
        "repository": "team/app",
        "tag": "1.2",
        "digest": DIGEST,
        "event_id": "event-1",
    }
    return ImagePushed(**{**usual, **parts})


def changed(document: Any, path: str, value: object) -> Any:
    """A copy of the document with the value at ``a.0.b`` replaced."""
    copy = json.loads(json.dumps(document))
    place = copy
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        place = place[part]
    place[last] = value
    return copy


def without(document: Any, path: str) -> Any:
    """A copy of the document that lacks ``a.0.b``."""
    copy = json.loads(json.dumps(document))
    place = copy
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        place = place[part]
    del place[last]
    return copy
