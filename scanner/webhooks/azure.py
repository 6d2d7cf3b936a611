"""Azure Container Registry: its own webhooks, Event Grid's schema, and CloudEvents from Event Grid.

Source: https://learn.microsoft.com/en-us/azure/container-registry/container-registry-webhook-reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from scanner.errors import InputError
from scanner.ports.webhook import Headers, ImagePushed, Reply, WebhookSource
from scanner.webhooks._cloudevents import allow_origin, is_cloudevent, read_events
from scanner.webhooks._read import bounded, read_json, table, table_at, text
from scanner.webhooks._registry_event import parse_event

_PUSHED: Final = "Microsoft.ContainerRegistry.ImagePushed"
_VALIDATION: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"
_CODE: Final = re.compile(r"[A-Za-z0-9-]{1,128}\Z")


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return pushes of manifests and indexes; pings, charts, quarantine and deletions are none."""
    if is_cloudevent(headers):
        events = [e for e in read_events(headers, body) if e.type == _PUSHED]
        return [one for e in events for one in parse_event(table(e.data, "data"))]
    document = read_json(body)
    if isinstance(document, list):
        return [one for event in bounded(document, "events") for one in _grid(event)]
    event = table(document, "body")
    return _grid(event) if "eventType" in event else parse_event(event)


def _grid(event: object) -> list[ImagePushed]:
    values: Mapping[str, Any] = table(event, "event")
    return parse_event(table_at(values, "data")) if text(values, "eventType") == _PUSHED else []


def reply(headers: Headers, body: bytes) -> Reply | None:
    """Answer Event Grid's question whether this is really the place to send events to, in either schema."""
    if headers.get("aeg-event-type", "").lower() != "subscriptionvalidation":
        return allow_origin(headers, body)
    try:
        code = _validation_code(body)
    except InputError:
        return None
    answer = msgspec.json.encode({"validationResponse": code})
    return Reply(body=answer, media_type="application/json") if _CODE.match(code) else None


def _validation_code(body: bytes) -> str:
    document = read_json(body)
    events = document if isinstance(document, list) and document else [document]
    event: Mapping[str, Any] = table(events[0], "event")
    is_validation = text(event, "eventType") == _VALIDATION
    return text(table_at(event, "data"), "validationCode") if is_validation else ""


SOURCE: Final = WebhookSource(
    name="azure",
    parse=parse,
    reply=reply,
    summary="Azure Container Registry, also through Event Grid",
    documentation="https://learn.microsoft.com/en-us/azure/container-registry/container-registry-webhook-reference",
)
