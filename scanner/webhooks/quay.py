"""Quay and quay.io: the repository's tags that were updated, without digest.

Source: https://docs.projectquay.io/use_quay.html#repository-events
"""

from __future__ import annotations

from typing import Final

from scanner.ports.webhook import Headers, ImagePushed, WebhookSource
from scanner.webhooks._read import bounded, host_of, malformed, pushed, read_table, text


def parse(_headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return one push a tag; the other notifications (builds, mirrors, findings) have no tags that were updated."""
    event = read_table(body)
    repository, host = text(event, "repository"), host_of(text(event, "docker_url"))
    if "updated_tags" not in event:
        return []
    tags = bounded(event["updated_tags"], "updated_tags")
    if not all(isinstance(tag, str) for tag in tags):
        raise malformed("updated_tags: expected strings")
    return [pushed(host=host, repository=repository, tag=tag) for tag in tags]


SOURCE: Final = WebhookSource(
    name="quay",
    parse=parse,
    summary="Quay and quay.io, event push to repository",
    documentation="https://docs.projectquay.io/use_quay.html#repository-events",
)
