"""Google Artifact Registry: a Pub/Sub push of the topic ``gcr``.

Source: https://cloud.google.com/artifact-registry/docs/configure-notifications
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from scanner.ports.webhook import Headers, ImagePushed, WebhookSource
from scanner.webhooks._read import (
    malformed,
    optional_text,
    pushed,
    read_table,
    split_reference,
    table_at,
    text,
)


def parse(_headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return the inserted image; deletions are none."""
    message = table_at(read_table(body), "message")
    try:
        data = base64.b64decode(text(message, "data"), validate=True)
    except ValueError as error:
        raise malformed("data: not base64") from error
    event = read_table(data)
    if text(event, "action") != "INSERT":
        return []
    return [_push(event, message.get("messageId"))]


def _push(event: Mapping[str, Any], event_id: object) -> ImagePushed:
    """Digest and tag are whole references, and must name the same repository."""
    by_digest = split_reference(optional_text(event, "digest"))
    by_tag = split_reference(optional_text(event, "tag"))
    names = {part[:2] for part in (by_digest, by_tag) if any(part)}
    if len(names) != 1:
        raise malformed("digest and tag name no single repository")
    host, repository = names.pop()
    if not host:
        raise malformed("digest and tag name no registry")
    return pushed(
        host=host,
        repository=repository,
        tag=by_tag.tag,
        digest=by_digest.digest,
        event_id=event_id,
    )


SOURCE: Final = WebhookSource(
    name="google",
    parse=parse,
    summary="Google Artifact Registry, by Pub/Sub",
    documentation="https://cloud.google.com/artifact-registry/docs/configure-notifications",
)
