"""Docker Hub: repository and tag, without digest. The callback URL in the body is never called.

Source: https://docs.docker.com/docker-hub/repos/manage/webhooks/
"""

from __future__ import annotations

from typing import Final

from scanner.model.reference import DOCKER_HUB
from scanner.ports.webhook import Headers, ImagePushed, WebhookSource
from scanner.webhooks._read import pushed, read_table, table_at, text


def parse(_headers: Headers, body: bytes) -> list[ImagePushed]:
    """Return the pushed tag; Docker Hub tells of nothing else."""
    event = read_table(body)
    return [
        pushed(
            host=DOCKER_HUB,
            repository=text(table_at(event, "repository"), "repo_name"),
            tag=text(table_at(event, "push_data"), "tag"),
        )
    ]


SOURCE: Final = WebhookSource(
    name="docker-hub",
    parse=parse,
    summary="Docker Hub",
    documentation="https://docs.docker.com/docker-hub/repos/manage/webhooks/",
)
