"""Whether the service lives and is ready, what it measures, and the description of its API."""

from __future__ import annotations

import logging
from typing import Final, Literal

import msgspec
from aiohttp import web

from scanner.errors import StoreError
from scanner.web import _metrics
from scanner.web._keys import FINISHED
from scanner.web._keys import ROUTES as ALL_ROUTES
from scanner.web._openapi import document
from scanner.web._problems import RequestError
from scanner.web._route import Call, Content, NoParameters, Route, Scope, json_answer

_LOG: Final = logging.getLogger(__name__)


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The service can do its work."""

    status: Literal["ready"] = "ready"
    queue_age_seconds: float
    policy: Literal["current", "outdated"] = "current"
    """``outdated``: its file cannot be used as it is now, and the policy before it still counts."""


async def _health(_call: Call[NoParameters, None]) -> web.StreamResponse:
    """Answer as long as the process can; nothing else is looked at."""
    return json_answer(Health(), headers={"Cache-Control": "no-store"})


async def _ready(call: Call[NoParameters, None]) -> web.StreamResponse:
    """Answer 200 if the database can be reached and the service is not about to stop."""
    if call.context.liveness.draining:
        raise RequestError(503, "draining", "the service is about to stop")
    state = await call.context.store.queue_counts()
    is_current = call.context.judge.is_current
    ready = Readiness(
        queue_age_seconds=round(state.age_seconds, 3),
        policy="current" if is_current else "outdated",
    )
    return json_answer(ready, headers={"Cache-Control": "no-store"})


async def _metrics_text(call: Call[NoParameters, None]) -> web.StreamResponse:
    """Return the measures of this process and of the queue, for Prometheus.

    While the database cannot be reached the queue's are those of before, and ``scanner_store_up`` is 0.
    """
    metrics = call.context.metrics
    metrics.policy_current.set(call.context.judge.is_current)
    try:
        state = await call.context.store.queue_counts()
        waiting = await call.context.store.publications_waiting()
        await call.request.app[FINISHED].measure()
    except StoreError as error:
        _LOG.warning("queue not measured", extra={"code": error.code})
        metrics.store_up.set(0)
    else:
        metrics.set_scans(state.counts, state.age_seconds)
        metrics.set_publications(waiting)
        metrics.store_up.set(1)
    return web.Response(body=metrics.text(), headers={"Content-Type": _metrics.MEDIA_TYPE})


async def _openapi(call: Call[NoParameters, None]) -> web.StreamResponse:
    """Return this description."""
    routes = call.request.app[ALL_ROUTES]
    return json_answer(document(routes, public_url=call.context.public_url))


ROUTES: Final = (
    Route(
        method="GET",
        path="/healthz",
        summary="Is the process alive?",
        handler=_health,
        answers={200: Content(type=Health)},
        tag="operations",
    ),
    Route(
        method="GET",
        path="/readyz",
        summary="Can the service work?",
        handler=_ready,
        answers={200: Content(type=Readiness)},
        tag="operations",
    ),
    Route(
        method="GET",
        path="/metrics",
        summary="Measures for Prometheus",
        handler=_metrics_text,
        answers={200: Content(media_types=("text/plain",))},
        scope=Scope.READ,
        tag="operations",
    ),
    Route(
        method="GET",
        path="/v1/openapi.json",
        summary="The OpenAPI document",
        handler=_openapi,
        answers={200: Content(type=dict)},
        tag="operations",
    ),
)
