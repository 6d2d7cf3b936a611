"""Webhook calls received, for whoever wires a registry up."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner.ports import Delivery, Page
from scanner.web._parameters import After, Limit
from scanner.web._route import Call, Content, Route, Scope, json_answer

_Source = Annotated[
    str, msgspec.Meta(max_length=64, description="Name of a section [webhooks.NAME]")
]


class WantedDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries."""

    source: _Source = ""
    after: After = ""
    limit: Limit = 100


async def list_deliveries(call: Call[WantedDeliveries, None]) -> web.StreamResponse:
    """Return webhook calls of known senders and what became of them, the newest first.

    Those that told of nothing to scan are only counted, in the metrics.
    """
    asked = call.parameters
    page = await call.context.store.deliveries(
        source=asked.source, after=asked.after, limit=asked.limit
    )
    return json_answer(page, headers={"Cache-Control": "no-store"})


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/deliveries",
        summary="Webhook calls received",
        handler=list_deliveries,
        parameters=WantedDeliveries,
        answers={200: Content(type=Page[Delivery])},
        scope=Scope.ADMIN,
        tag="operations",
    ),
)
