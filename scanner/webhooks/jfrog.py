"""JFrog Artifactory: Docker and OCI repositories, domain ``docker``.

Source: https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhooks
"""

from __future__ import annotations

from typing import Final

from scanner.ports.webhook import Headers, ImagePushed, Signature, WebhookSource
from scanner.webhooks._read import host_of, optional_text, pushed, read_table, table_at, text

_FLAT_DIGEST: Final = "sha256__"


def parse(_headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return the pushed tag or, of an index, the child; other domains, promotions and deletions are none.

    The repository is that of the path method, ``host/repo_key/image``.
    """
    event = read_table(body)
    if text(event, "domain") != "docker" or text(event, "event_type") != "pushed":
        return []
    data = table_at(event, "data")
    tag = text(data, "tag")
    if tag.startswith(_FLAT_DIGEST):
        tag = "sha256:" + tag.removeprefix(_FLAT_DIGEST)
    return [
        pushed(
            host=host_of(optional_text(event, "jpd_origin")),
            repository=f"{text(data, 'repo_key')}/{text(data, 'image_name')}",
            tag=tag,
            digest=f"sha256:{text(data, 'sha256')}",
        )
    ]


SOURCE: Final = WebhookSource(
    name="jfrog",
    parse=parse,
    signature=Signature("x-jfrog-event-auth", (("sha1=", "sha1"), ("", "sha256"))),
    summary="JFrog Artifactory",
    documentation="https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhooks",
)
