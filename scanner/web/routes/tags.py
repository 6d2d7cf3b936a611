"""What a tag led to over time."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner.model import parse_reference
from scanner.ports import TagEntry
from scanner.web._parameters import After, Limit
from scanner.web._problems import RequestError, unknown
from scanner.web._route import Call, Content, Route, Scope, json_answer

_Tagged = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=1_024, description="``registry/repository:tag``, without digest"
    ),
]


class WantedTag(msgspec.Struct, frozen=True, kw_only=True):
    """Which tag. A parameter, not a path: repositories hold slashes, which OpenAPI's paths cannot."""

    reference: _Tagged
    after: After = ""
    limit: Limit = 100


class TagHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Digests that a tag led to."""

    registry: str
    repository: str
    tag: str
    items: tuple[TagEntry, ...]
    """The newest first."""
    next: str = ""
    """Where the next page begins; empty on the last."""


async def tag_history(call: Call[WantedTag, None]) -> web.StreamResponse:
    """Return what a tag led to, newest first, as far as its registry told or was asked."""
    asked = call.parameters
    named = parse_reference(asked.reference)
    if named.digest is not None:
        raise RequestError(400, "bad-parameter", "reference: expected a tag, without digest")
    page = await call.context.store.tag_history(
        named.registry, named.repository, named.tag, after=asked.after, limit=asked.limit
    )
    if not page.items and not asked.after:
        raise unknown("the tag")
    history = TagHistory(
        registry=named.registry,
        repository=named.repository,
        tag=named.tag,
        items=page.items,
        next=page.next,
    )
    return json_answer(history)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/tags",
        summary="What a tag led to",
        handler=tag_history,
        parameters=WantedTag,
        answers={200: Content(type=TagHistory)},
        problems=(404,),
        scope=Scope.READ,
        tag="search",
    ),
)
