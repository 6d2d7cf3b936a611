"""Gitea and Forgejo: event ``package`` of their container registry, as JSON or as a form.

Tags come in lower case, whatever was pushed; each manifest of an index is an event of its own.

Source: https://docs.gitea.com/usage/webhooks
"""

from __future__ import annotations

from typing import Final

from scanner.ports.webhook import Headers, ImagePushed, Signature, WebhookSource
from scanner.webhooks._read import (
    host_of,
    malformed,
    optional_text,
    pushed,
    read_table_or_form,
    table_at,
    text,
)


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return the created version of a container package; other events and package types are none."""
    name = headers.get("x-forgejo-event") or headers.get("x-gitea-event", "")
    if not name:
        raise malformed("no header X-Gitea-Event")
    if name != "package":
        return []
    event = read_table_or_form(headers, body)
    package = table_at(event, "package")
    if text(event, "action") != "created" or text(package, "type") != "container":
        return []
    owner = text(table_at(package, "owner"), "login")
    return [
        pushed(
            host=host_of(optional_text(package, "html_url")),
            repository=f"{owner}/{text(package, 'name')}".lower(),
            tag=text(package, "version"),
            event_id=headers.get("x-gitea-delivery", ""),
        )
    ]


SOURCE: Final = WebhookSource(
    name="gitea",
    parse=parse,
    signature=Signature("x-gitea-signature", (("", "sha256"),)),
    summary="Gitea and Forgejo",
    documentation="https://docs.gitea.com/usage/webhooks",
)
