"""The event of the CNCF Distribution registry, which Azure's is a copy of.

Source: https://github.com/distribution/distribution/blob/main/notifications/event.go
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scanner.model.oci import INDEX_TYPES, MANIFEST_TYPES
from scanner.ports.webhook import ImagePushed
from scanner.webhooks._read import optional_table, optional_text, pushed, table_at, text


def is_image(media_type: str) -> bool:
    """Whether content of this media type is a manifest or an index; layers are pushed, too."""
    return media_type in MANIFEST_TYPES or media_type in INDEX_TYPES


def parse_event(event: Mapping[str, Any]) -> list[ImagePushed]:
    """Return the push of a manifest or index; none if the event tells of something else.

    Raises:
        MalformedEventError: wrong types, or no reference to an image.
    """
    if text(event, "action") != "push":
        return []
    target = table_at(event, "target")
    if not is_image(optional_text(target, "mediaType")):
        return []
    return [
        pushed(
            host=optional_text(optional_table(event, "request"), "host"),
            repository=text(target, "repository"),
            tag=optional_text(target, "tag"),
            digest=text(target, "digest"),
            event_id=event.get("id"),
        )
    ]
