"""CloudEvents over HTTP: binary, structured and batched, and the handshake that allows their sender.

Source: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from scanner.ports.webhook import Headers, Reply
from scanner.webhooks._read import (
    bounded,
    malformed,
    media_type,
    optional_text,
    read_json,
    read_table,
    table,
    text,
)

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
_ORIGIN: Final = re.compile(r"[A-Za-z0-9*](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::[0-9]{1,5})?\Z")


class CloudEvent(NamedTuple):
    """The attributes that dialects look at; empty where the event has none."""

    type: str
    id: str
    subject: str
    data: Any


def is_cloudevent(headers: Headers) -> bool:
    """Whether the headers announce a CloudEvent in any mode."""
    return "ce-specversion" in headers or media_type(headers) in (STRUCTURED, BATCHED)


def read_events(headers: Headers, body: bytes) -> list[CloudEvent]:
    """Return the request's events, in order.

    Structured mode is assumed unless the headers say binary or batched: senders are known to forget its type.

    Raises:
        MalformedEventError: not JSON, wrong types, no type or id, or not version 1 of the specification.
        LimitExceededError: a batch of too many.
    """
    mode = media_type(headers)
    if mode == BATCHED:
        return [_structured(table(one, "event")) for one in bounded(read_json(body), "batch")]
    if mode == STRUCTURED or "ce-specversion" not in headers:
        return [_structured(read_table(body))]
    return [_binary(headers, body)]


def _binary(headers: Headers, body: bytes) -> CloudEvent:
    attributes = {
        name: unquote(headers[f"ce-{name}"], errors="replace")
        for name in ("specversion", "type", "id", "subject")
        if f"ce-{name}" in headers
    }
    is_json = media_type(headers).endswith("json") or "content-type" not in headers
    return _event(attributes, read_json(body) if body and is_json else None)


def _structured(event: Mapping[str, Any]) -> CloudEvent:
    if event.get("data_base64") is None:
        return _event(event, event.get("data"))
    try:
        data = base64.b64decode(text(event, "data_base64"), validate=True)
    except ValueError as error:
        raise malformed("data_base64: not base64") from error
    content_type = optional_text(event, "datacontenttype")
    return _event(event, read_json(data) if content_type.endswith("json") else None)


def _event(attributes: Mapping[str, Any], data: object) -> CloudEvent:
    if not text(attributes, "specversion").startswith("1."):
        raise malformed("specversion: only version 1 of CloudEvents is known")
    kind, event_id = text(attributes, "type"), text(attributes, "id")
    return CloudEvent(kind, event_id, optional_text(attributes, "subject"), data)


def allow_origin(headers: Headers, _body: bytes) -> Reply | None:
    """Return the consent that a sender asks for before it delivers; None for any other request.

    Source: https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection
    """
    origin = headers.get("webhook-request-origin", "")
    if not _ORIGIN.match(origin):
        return None
    allowed = {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*"}
    return Reply(headers=allowed)
