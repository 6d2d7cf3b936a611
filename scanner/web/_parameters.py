"""Parameters that many endpoints take."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from scanner.ports import ScanRequest, ServiceStore
from scanner.web._hosts import is_allowed_host
from scanner.web._problems import RequestError, unknown

END: Final = r"$(?!\n)"
"""The end of a pattern: ``$`` alone lets a line end follow."""
DIGEST_PATTERN: Final = "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})" + END
DigestText = Annotated[
    str,
    msgspec.Meta(
        pattern=DIGEST_PATTERN,
        max_length=135,
        description="Of an image's manifest or of an index",
    ),
]
After = Annotated[
    str, msgspec.Meta(max_length=512, description="Where to go on: ``next`` of the page before")
]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000, description="Most items of the page")]
MaxAge = Annotated[
    int,
    msgspec.Meta(ge=0, le=10**9, description="Seconds; what was scanned earlier is ``stale``"),
]

Namespace = Annotated[
    str,
    msgspec.Meta(
        max_length=255, description="Of a cluster, for rules and waivers that hold in some only"
    ),
]
Repository = Annotated[
    str,
    msgspec.Meta(
        max_length=512,
        description="``registry/repository`` that it is asked for as; default: by which it was scanned",
    ),
]


class OfImage(msgspec.Struct, frozen=True, kw_only=True):
    """Which image."""

    digest: DigestText


class PageOfImage(OfImage, frozen=True, kw_only=True):
    """Which page of something of an image."""

    after: After = ""
    limit: Limit = 100


async def require_image(store: ServiceStore, digest: str) -> None:
    """Return if the digest was scanned; raises RequestError (404) otherwise."""
    if await store.image(digest) is None:
        raise unknown("the image")


def require_allowed(request: ScanRequest, allowed: tuple[str, ...]) -> None:
    """Return if the request's registry may be asked; raises RequestError (403) otherwise."""
    if not is_allowed_host(request.registry, allowed):
        raise RequestError(
            403, "forbidden-host", "the registry is not among server.allowed_registries"
        )
