"""The aiohttp application: every route record behind one middleware that checks, measures and explains."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, Final

from aiohttp import web

from scanner.logs import log_fields
from scanner.ports import Enqueued, ImageSummary, ScanRequest, ServiceStore
from scanner.web import routes
from scanner.web._auth import TokenCheck
from scanner.web._batch import Batch
from scanner.web._context import WebContext
from scanner.web._finished import FinishedScans
from scanner.web._keys import (
    DECISIONS,
    DELIVERIES,
    FINISHED,
    IMAGES,
    REQUESTS,
    ROUTES,
    TOKEN_CHECK,
    WATCH,
)
from scanner.web._problems import response_of
from scanner.web._request import body_of, parameters_of
from scanner.web._route import Call, Route
from scanner.web._watch import ScanWatch

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_UNROUTED: Final = "(none)"
_SERVER_ERROR: Final = 500
_LOG: Final = logging.getLogger(__name__)


@cache
def all_routes() -> tuple[Route[Any, Any], ...]:
    """Return the routes of every module of ``scanner.web.routes``, by module name."""
    names = sorted(m.name for m in pkgutil.iter_modules(routes.__path__))
    modules = [importlib.import_module(f"{routes.__name__}.{name}") for name in names]
    return tuple(route for module in modules for route in module.ROUTES)


def build_application(context: WebContext) -> web.Application:
    """Return the application; nothing is opened before it is run."""
    application = web.Application(
        client_max_size=context.body_bytes, middlewares=[_middleware(context)]
    )
    application[TOKEN_CHECK] = TokenCheck(context.store, is_open=context.is_open)
    application[ROUTES] = all_routes()
    application[REQUESTS] = requests = Batch(_enqueue_with(context))
    # What is asked while an answer is looked up is looked up together: a burst costs few turns of the database.
    application[IMAGES] = Batch(_look_up_in(context.store), gather_seconds=0)
    application[DELIVERIES] = deliveries = Batch(context.store.record_deliveries)
    application[DECISIONS] = decisions = Batch(context.store.record_decisions)
    application[FINISHED] = FinishedScans(context.store, context.metrics)
    application[WATCH] = watch = ScanWatch(context.store)
    for route in all_routes():
        resource = application.router.add_resource(route.routing_path)
        handler = _checked(route, context)
        resource.add_route(route.method, handler)
        if route.method == "GET":
            resource.add_route("HEAD", handler)

    async def drain(_application: web.Application) -> None:
        watch.close()
        await requests.drain()
        await deliveries.drain()
        await decisions.drain()

    application.on_shutdown.append(drain)
    return application


def _enqueue_with(
    context: WebContext,
) -> Callable[[Sequence[ScanRequest]], Awaitable[Sequence[Enqueued]]]:
    async def enqueue(requests: Sequence[ScanRequest]) -> Sequence[Enqueued]:
        context.metrics.write_batch.observe(len(requests))
        return await context.store.enqueue_many(requests, context.fingerprint)

    return enqueue


def _look_up_in(
    store: ServiceStore,
) -> Callable[[Sequence[str]], Awaitable[Sequence[ImageSummary | None]]]:
    async def look_up(digests: Sequence[str]) -> Sequence[ImageSummary | None]:
        if len(digests) == 1:
            return [await store.image(digests[0])]
        found = await store.images(set(digests))
        return [found.get(digest) for digest in digests]

    return look_up


def _checked(route: Route[Any, Any], context: WebContext) -> Handler:
    """Return the handler with everything its record asks for done first, cheapest first."""

    async def handle(request: web.Request) -> web.StreamResponse:
        token = ""
        if route.scope is not None and not route.checks_scope:
            shown = request.headers.get("Authorization", "")
            token = await request.app[TOKEN_CHECK].require(shown, route.scope)
        parameters = parameters_of(route, request)
        body = await body_of(route, request)
        return await route.handler(
            Call(context=context, request=request, parameters=parameters, body=body, token=token)
        )

    return handle


def _middleware(context: WebContext) -> Any:
    @web.middleware
    async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        request_id = secrets.token_hex(8)
        with log_fields(request_id=request_id):
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - whatever it was, the answer is a problem document
                response = response_of(error)
                if response.status >= _SERVER_ERROR:
                    _LOG.exception("request failed")
            if not response.prepared:
                response.headers["X-Request-Id"] = request_id
                response.headers["X-Content-Type-Options"] = "nosniff"
            if response.content_type != "text/event-stream":  # as long as its client likes
                _tell(context, request, response.status, time.perf_counter() - began)
        return response

    return explain


def _tell(context: WebContext, request: web.Request, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else _UNROUTED
    method = request.method if resource is not None else _UNROUTED
    context.metrics.requests.labels(method, route, str(status)).observe(seconds)
    _LOG.debug(
        "request",
        extra={"route": route, "status": status, "milliseconds": round(seconds * 1000, 1)},
    )
