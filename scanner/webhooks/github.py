"""GitHub container registry: ``package`` and ``registry_package``, as JSON or as a form.

Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads#registry_package
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scanner.ports.webhook import Headers, ImagePushed, Reply, Signature, WebhookSource
from scanner.webhooks._read import (
    malformed,
    optional_table,
    optional_text,
    pushed,
    read_table_or_form,
    split_reference,
    table_at,
    text,
)

_EVENTS: Final = frozenset({"package", "registry_package"})
_ACTIONS: Final = frozenset({"published", "updated"})
_TYPES: Final = frozenset({"container", "docker"})


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return the published version of a container package; other events, actions and package types are none."""
    name = headers.get("x-github-event", "")
    if not name:
        raise malformed("no header X-GitHub-Event")
    if name not in _EVENTS:
        return []
    event = read_table_or_form(headers, body)
    if text(event, "action") not in _ACTIONS:
        return []
    package = table_at(event, name)
    if text(package, "package_type").lower() not in _TYPES:
        return []
    return [_push(table_at(package, "package_version"), headers.get("x-github-delivery", ""))]


def _push(version: Mapping[str, Any], delivery: str) -> ImagePushed:
    named = split_reference(text(version, "package_url"))
    if not named.host:
        raise malformed("package_url: names no registry")
    container = optional_table(version, "container_metadata")
    tag = optional_table(container, "tag")
    digest = optional_text(tag, "digest") or optional_text(version, "version")
    return pushed(
        host=named.host,
        repository=named.repository.lower(),  # owners are written as they like, pulled in lower case
        tag=optional_text(tag, "name") or named.tag,
        digest=digest if ":" in digest else named.digest,
        event_id=delivery,
    )


def reply(headers: Headers, _body: bytes) -> Reply | None:
    """Answer the ping that comes when a webhook is created."""
    return Reply() if headers.get("x-github-event") == "ping" else None


SOURCE: Final = WebhookSource(
    name="github",
    parse=parse,
    signature=Signature("x-hub-signature-256", (("sha256=", "sha256"),)),
    reply=reply,
    summary="GitHub container registry (ghcr.io)",
    documentation="https://docs.github.com/en/webhooks/webhook-events-and-payloads#registry_package",
)
