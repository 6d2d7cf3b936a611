"""CloudEvents of anybody: what was pushed is in the data, or the subject is a reference.

Source: https://github.com/cloudevents/spec/blob/main/cloudevents/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from scanner.ports.webhook import Headers, ImagePushed, WebhookSource
from scanner.webhooks._cloudevents import CloudEvent, allow_origin, read_events
from scanner.webhooks._read import malformed, optional_text, pushed, split_reference, text

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PUSHED: Final = frozenset(
    {"push", "pushed", "publish", "published", "created", "updated", "uploaded"}
)


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return one push for each event whose type has a word like ``pushed`` or ``published``."""
    events = [e for e in read_events(headers, body) if _is_push(e.type)]
    return [_push(event) for event in events]


def _is_push(kind: str) -> bool:
    return not _PUSHED.isdisjoint(word.lower() for word in _WORD.findall(kind))


def _push(event: CloudEvent) -> ImagePushed:
    """A whole reference is ``data.reference``, ``data.image`` or the subject; ``data``'s other fields add to it."""
    data: Mapping[str, Any] = event.data if isinstance(event.data, dict) else {}
    if data.get("repository") is not None:
        named = split_reference(text(data, "repository"))
    else:
        reference = optional_text(data, "reference") or optional_text(data, "image")
        named = split_reference(reference or event.subject)
    host, tag, digest = (optional_text(data, key) for key in ("host", "tag", "digest"))
    for given, written in ((host, named.host), (tag, named.tag), (digest, named.digest)):
        if given and written and given != written:
            raise malformed("the reference and the fields beside it contradict each other")
    return pushed(
        host=host or named.host,
        repository=named.repository,
        tag=tag or named.tag,
        digest=digest or named.digest,
        event_id=event.id,
    )


SOURCE: Final = WebhookSource(
    name="cloudevents",
    parse=parse,
    reply=allow_origin,
    summary="any CloudEvent that names an image",
    documentation="https://github.com/cloudevents/spec/blob/main/cloudevents/spec.md",
)
