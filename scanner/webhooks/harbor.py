"""Harbor: the default format and CloudEvents.

Source: https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scanner.ports.webhook import Headers, ImagePushed, WebhookSource
from scanner.webhooks._cloudevents import is_cloudevent, read_events
from scanner.webhooks._read import (
    bounded,
    host_of,
    optional_text,
    pushed,
    read_table,
    table,
    table_at,
    tables_at,
    text,
)

_PUSHED: Final = "PUSH_ARTIFACT"
_CLOUD_PUSHED: Final = "harbor.artifact.pushed"


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return pushed artifacts; scans, quotas, replications, pulls and deletions are none."""
    if is_cloudevent(headers):
        events = [e for e in read_events(headers, body) if e.type == _CLOUD_PUSHED]
        found = [one for e in events for one in _pushes(table(e.data, "data"), e.id)]
        return list(bounded(found, "resources"))
    event = read_table(body)
    return _pushes(table_at(event, "event_data"), "") if text(event, "type") == _PUSHED else []


def _pushes(data: Mapping[str, Any], event_id: str) -> list[ImagePushed]:
    repository = text(table_at(data, "repository"), "repo_full_name")
    return [
        pushed(
            host=host_of(optional_text(resource, "resource_url")),
            repository=repository,
            tag=optional_text(resource, "tag"),
            digest=optional_text(resource, "digest"),
            event_id=event_id,
        )
        for resource in tables_at(data, "resources")
    ]


SOURCE: Final = WebhookSource(
    name="harbor",
    parse=parse,
    summary="Harbor, default format and CloudEvents",
    documentation="https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/",
)
