"""CNCF Distribution (``registry:2``, ``registry:3``) and GitLab's registry: an envelope of events.

Source: https://distribution.github.io/distribution/about/notifications/
"""

from __future__ import annotations

from typing import Final

from scanner.ports.webhook import Headers, ImagePushed, WebhookSource
from scanner.webhooks._read import malformed, media_type, read_table, tables_at
from scanner.webhooks._registry_event import parse_event

_TYPES: Final = frozenset(
    {
        "application/vnd.docker.distribution.events.v2+json",
        "application/vnd.docker.distribution.events.v1+json",
        "application/json",
        "",
    }
)


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return pushes of manifests and indexes; not those of layers, pulls, mounts and deletions."""
    if media_type(headers) not in _TYPES:
        raise malformed("content-type: not an envelope of registry events")
    events = tables_at(read_table(body), "events")
    return [one for event in events for one in parse_event(event)]


SOURCE: Final = WebhookSource(
    name="distribution",
    parse=parse,
    summary="CNCF Distribution, registry:2, registry:3, and the registry of self-managed GitLab",
    documentation="https://distribution.github.io/distribution/about/notifications/",
)
