"""Scans: ask for one, see how it goes, follow it, cancel it."""

from __future__ import annotations

import contextlib
import logging
import time
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from scanner.model import parse_platform, parse_reference
from scanner.ports import JobState, Page, Priority, ScanRecord, ScanRequest, ServiceStore
from scanner.web._keys import REQUESTS, WATCH
from scanner.web._negotiate import choose
from scanner.web._parameters import END, After, Limit, require_allowed
from scanner.web._problems import RequestError, unknown
from scanner.web._route import Call, Content, Route, Scope, json_answer
from scanner.web._watch import Listener

_LOG: Final = logging.getLogger(__name__)
_EVENTS: Final = "text/event-stream"
_JSON: Final = "application/json"
_HEARTBEAT_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 1.0
_HEARTBEAT: Final = b": nothing new\n\n"
_ScanId = Annotated[
    str, msgspec.Meta(pattern="^[0-9A-Z]{26}" + END, max_length=26, description="Id of a scan")
]
_Platform = Annotated[str, msgspec.Meta(max_length=200)]
_NO_STORE: Final = {"Cache-Control": "no-store"}


class ScanWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to scan."""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]
    """``registry/repository[:tag][@digest]``, with the defaults that ``scanner scan`` has."""
    platforms: Annotated[tuple[_Platform, ...], msgspec.Meta(max_length=32)] = ()
    """``linux/arm64``; none: every runnable one."""
    force: bool = False
    """Scan although this server's analyzers have looked at it."""


class OfScan(msgspec.Struct, frozen=True, kw_only=True):
    """Which scan."""

    id: _ScanId


class WantedScans(msgspec.Struct, frozen=True, kw_only=True):
    """Which scans."""

    state: JobState | None = None
    after: After = ""
    limit: Limit = 100


class ScanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A scan as it is now."""

    id: str
    reference: str
    registry: str
    repository: str
    tag: str
    digest: str
    """Empty until the tag is resolved."""
    platforms: tuple[str, ...]
    state: JobState
    is_over: bool
    """Nothing more will happen to it."""
    priority: str
    """``waiting``, ``pushed`` or ``background``."""
    requested_by: str
    attempts: int
    stage: str
    progress: dict[str, Any]
    cancel_requested: bool
    error_code: str
    error: str
    created_at: datetime
    not_before_at: datetime
    """When the next attempt may begin."""
    started_at: datetime | None
    finished_at: datetime | None
    fingerprint: str


def scan_answer(record: ScanRecord) -> ScanAnswer:
    """Return what clients are told of a scan: not which machine does it."""
    try:
        priority = Priority(record.priority)
    except ValueError:
        priority = Priority.BACKGROUND
    fields = {n: getattr(record, n) for n in ScanAnswer.__struct_fields__ if hasattr(record, n)}
    fields |= {"priority": priority.name.lower(), "is_over": record.state.is_over}
    return ScanAnswer(**fields)


async def create_scan(call: Call[msgspec.Struct, ScanWanted]) -> web.StreamResponse:
    """Have an image scanned before those that nobody waits for.

    Asked again, it answers with the scan that waits or runs, or that has looked at this digest with today's
    analyzers (200), unless ``force`` is set.
    """
    wanted = _request_of(call)
    require_allowed(wanted, call.context.allowed_registries)
    queued = await call.request.app[REQUESTS].add(wanted)
    if queued.is_new:
        _LOG.info("scan queued", extra={"scan_id": queued.id, "source": wanted.requested_by})
    answer = scan_answer(await _scan(call.context.store, queued.id))
    location = {"Location": f"/v1/scans/{queued.id}", **_NO_STORE}
    return json_answer(answer, status=200 if answer.is_over else 202, headers=location)


def _request_of(call: Call[msgspec.Struct, ScanWanted]) -> ScanRequest:
    """Return the request; raises InvalidReferenceError."""
    reference = parse_reference(call.body.reference)
    platforms = {str(parse_platform(text)) for text in call.body.platforms}
    return ScanRequest(
        registry=reference.registry,
        repository=reference.repository,
        tag=reference.tag,
        digest=reference.digest or "",
        platforms=tuple(sorted(platforms)),
        priority=Priority.WAITING,
        requested_by=f"token/{call.token}" if call.token else "anybody",
        force=call.body.force,
    )


async def _scan(store: ServiceStore, scan_id: str) -> ScanRecord:
    record = await store.scan(scan_id)
    if record is None:
        raise unknown("the scan")
    return record


async def list_scans(call: Call[WantedScans, None]) -> web.StreamResponse:
    """Return scans, the newest first."""
    asked = call.parameters
    page = await call.context.store.scans(state=asked.state, after=asked.after, limit=asked.limit)
    shown = Page(items=tuple(map(scan_answer, page.items)), next=page.next)
    return json_answer(shown, headers=_NO_STORE)


async def get_scan(call: Call[OfScan, None]) -> web.StreamResponse:
    """Return a scan, or follow it as server-sent events until it is over.

    Each event ``scan`` holds the same object as the JSON answer; a comment is sent when nothing is new.
    """
    record = await _scan(call.context.store, call.parameters.id)
    accept = call.request.headers.get("Accept", "")
    if choose(accept, (_JSON, _EVENTS)) != _EVENTS or call.request.method == "HEAD":
        return json_answer(scan_answer(record), headers=_NO_STORE)
    return await _follow(call, record)


async def _follow(call: Call[OfScan, None], record: ScanRecord) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": _EVENTS,
            "X-Accel-Buffering": "no",
            "X-Content-Type-Options": "nosniff",
            **_NO_STORE,
        }
    )
    watch, streams = call.request.app[WATCH], call.context.metrics.streams
    with (
        watch.listen(record) as listener,
        streams.track_inprogress(),
        contextlib.suppress(ConnectionError),  # a client that went away ends its own stream alone
    ):
        await response.prepare(call.request)
        await response.write(_event(listener.record))
        while not listener.record.state.is_over:
            is_new = await _wait(listener, call.request)
            if listener.has_ended():
                break
            await response.write(_event(listener.record) if is_new else _HEARTBEAT)
        await response.write_eof()
    return response


async def _wait(listener: Listener, request: web.Request) -> bool:
    """Return True once there is something new, or False when it is time to say that there is not.

    Raises:
        ConnectionResetError: the client went away; without looking only the next write would tell.
    """
    until = time.monotonic() + _HEARTBEAT_SECONDS
    while time.monotonic() < until:
        if await listener.wait(min(_LOOK_SECONDS, _HEARTBEAT_SECONDS)):
            return True
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError
    return False


def _event(record: ScanRecord) -> bytes:
    return b"event: scan\ndata: " + msgspec.json.encode(scan_answer(record)) + b"\n\n"


async def cancel_scan(call: Call[OfScan, None]) -> web.StreamResponse:
    """Cancel a scan: one that waits at once, one that runs as soon as its worker hears of it."""
    store = call.context.store
    is_cancelled = await store.cancel(call.parameters.id)
    record = await _scan(store, call.parameters.id)
    if not is_cancelled:
        raise RequestError(409, "scan-over", f"the scan is {record.state} already")
    _LOG.info("scan cancelled", extra={"scan_id": record.id, "source": call.token})
    return json_answer(scan_answer(record), status=202, headers=_NO_STORE)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/scans",
        summary="Have an image scanned",
        handler=create_scan,
        body=ScanWanted,
        answers={
            200: Content(type=ScanAnswer, description="Done already", headers=("Location",)),
            202: Content(type=ScanAnswer, description="Queued, and on disk", headers=("Location",)),
        },
        scope=Scope.SCAN,
        tag="scans",
    ),
    Route(
        method="GET",
        path="/v1/scans",
        summary="Scans, the newest first",
        handler=list_scans,
        parameters=WantedScans,
        answers={200: Content(type=Page[ScanAnswer])},
        scope=Scope.READ,
        tag="scans",
    ),
    Route(
        method="GET",
        path="/v1/scans/{id}",
        summary="One scan, once or followed",
        handler=get_scan,
        parameters=OfScan,
        answers={200: Content(type=ScanAnswer, media_types=(_JSON, _EVENTS))},
        problems=(404,),
        scope=Scope.READ,
        tag="scans",
    ),
    Route(
        method="DELETE",
        path="/v1/scans/{id}",
        summary="Cancel a scan",
        handler=cancel_scan,
        parameters=OfScan,
        answers={202: Content(type=ScanAnswer, description="Cancelled, or about to be")},
        problems=(404, 409),
        scope=Scope.SCAN,
        tag="scans",
    ),
)
