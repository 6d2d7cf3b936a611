"""Zot: CloudEvents in binary mode; structured and batched ones through a broker.

Source: https://zotregistry.dev/latest/admin-guide/admin-configuration/
"""

from __future__ import annotations

from typing import Any, Final

from scanner.ports.webhook import Headers, ImagePushed, WebhookSource
from scanner.webhooks._cloudevents import CloudEvent, allow_origin, read_events
from scanner.webhooks._read import optional_text, pushed, table, text
from scanner.webhooks._registry_event import is_image

_PUSHED: Final = "zotregistry.image.updated"


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return updated images; the event names no registry."""
    events = [e for e in read_events(headers, body) if e.type == _PUSHED]
    return [one for event in events for one in _pushes(event)]


def _pushes(event: CloudEvent) -> list[ImagePushed]:
    data: Any = table(event.data, "data")
    if not is_image(text(data, "mediaType")):
        return []
    return [
        pushed(
            repository=text(data, "name"),
            tag=optional_text(data, "reference"),
            digest=optional_text(data, "digest"),
            event_id=event.id,
        )
    ]


SOURCE: Final = WebhookSource(
    name="zot",
    parse=parse,
    reply=allow_origin,
    summary="Zot, CloudEvents in binary, structured and batched mode",
    documentation="https://zotregistry.dev/latest/admin-guide/admin-configuration/",
)
