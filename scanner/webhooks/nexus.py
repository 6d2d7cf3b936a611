"""Sonatype Nexus Repository 3: webhooks of a repository, for components or for assets. They name no registry.

Source: https://help.sonatype.com/en/working-with-webhooks.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from scanner.ports.webhook import Headers, ImagePushed, Signature, WebhookSource
from scanner.webhooks._read import malformed, pushed, read_table, table_at, text

_ACTIONS: Final = frozenset({"CREATED", "UPDATED"})
_MANIFEST: Final = re.compile(r"/?v2/(?P<name>.{1,255})/manifests/(?P<reference>[^/]{1,160})\Z")


def parse(headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return the created component, or the asset that is a manifest; other formats, blobs and deletions are none."""
    event = read_table(body)
    if text(event, "action") not in _ACTIONS:
        return []
    kind = "asset" if "asset" in event else "component"
    item = table_at(event, kind)
    if text(item, "format") != "docker":
        return []
    named = _asset(item) if kind == "asset" else (text(item, "name"), text(item, "version"))
    if named is None:
        return []
    delivery = headers.get("x-nexus-webhook-delivery", "")
    return [pushed(repository=named[0], tag=named[1], event_id=delivery)]


def _asset(asset: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return repository and tag or digest of a manifest, None for a blob."""
    path = text(asset, "name")
    if "/blobs/" in path:
        return None
    match = _MANIFEST.match(path)
    if not match:
        raise malformed("asset: neither manifest nor blob")
    return match["name"], match["reference"]


SOURCE: Final = WebhookSource(
    name="nexus",
    parse=parse,
    signature=Signature("x-nexus-webhook-signature", (("", "sha1"),)),
    summary="Sonatype Nexus Repository 3",
    documentation="https://help.sonatype.com/en/working-with-webhooks.html",
)
