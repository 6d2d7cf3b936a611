"""Push events of registries: read within bounds, sender checked, hosts checked, queued, then answered."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from aiohttp import web

from scanner.errors import InputError, InvalidReferenceError, UnauthenticatedError
from scanner.model import parse_reference
from scanner.ports import Delivery, Priority, ScanRequest
from scanner.ports.webhook import CredentialKind, ImagePushed, Reply
from scanner.web._context import WebhookEndpoint
from scanner.web._hosts import is_allowed_host
from scanner.web._keys import DELIVERIES, REQUESTS, TOKEN_CHECK
from scanner.web._parameters import END
from scanner.web._problems import RequestError
from scanner.web._request import read_bounded
from scanner.web._route import Call, Content, Route, Scope, json_answer
from scanner.webhooks._authenticate import authenticate

_LOG: Final = logging.getLogger(__name__)
_DETAIL_LENGTH: Final = 300
Outcome = Literal["queued", "uninteresting", "refused", "malformed"]
_Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}" + END)]
_Secret = Annotated[str, msgspec.Meta(max_length=512, description="The secret of auth = path")]


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends: a section ``[webhooks.NAME]`` of the settings."""

    source: _Name


class SenderWithSecret(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends, and its secret, for senders that can show none otherwise."""

    source: _Name
    secret: _Secret


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event."""

    outcome: Outcome
    """``refused``: it names no image of a registry that may be asked; sent again, it will be no better."""
    scans: tuple[str, ...] = ()
    """Ids of the scans that answer the event's images, in its order, without refused ones."""
    refused_count: int = 0
    """Images of registries that may not be asked."""


EventCall: TypeAlias = Call[Sender, None] | Call[SenderWithSecret, None]


async def receive_event(call: Call[Sender, None]) -> web.StreamResponse:
    """Queue a scan of each image that the event says was pushed. Answers 202 once they are on disk."""
    return await _receive(call.request, call, call.parameters.source, "")


async def receive_event_with_secret(call: Call[SenderWithSecret, None]) -> web.StreamResponse:
    """Do the same for a sender that shows its secret in the path."""
    return await _receive(call.request, call, call.parameters.source, call.parameters.secret)


async def shake_hands(call: Call[Sender, None]) -> web.StreamResponse:
    """Answer the question that some senders ask before they send anything."""
    endpoint = _endpoint(call, call.parameters.source)
    reply = endpoint.source.reply(_headers(call.request), b"")
    if reply is None:
        raise RequestError(405, "method-not-allowed", "POST events", headers={"Allow": "POST"})
    return _replied(reply, endpoint.name)


async def _receive(
    request: web.Request,
    call: EventCall,
    name: str,
    shown: str,
) -> web.StreamResponse:
    endpoint = _endpoint(call, name)
    body = await read_bounded(request)
    headers = _headers(request)
    if (reply := endpoint.source.reply(headers, body)) is not None:
        return _replied(reply, endpoint.name)
    await _check_sender(call, endpoint, headers, body, shown)
    try:
        pushes = endpoint.source.parse(headers, body)
    except InputError as error:
        # Some senders repeat what is not answered by 2xx for ever, and everything behind it waits.
        return _done(call, endpoint, body, Accepted(outcome="malformed"), detail=str(error))
    requests = [r for p in pushes if (r := _wanted(call, endpoint, p)) is not None]
    refused_count = len(pushes) - len(requests)
    if not requests:
        told = Accepted(
            outcome="refused" if refused_count else "uninteresting", refused_count=refused_count
        )
        return _done(call, endpoint, body, told, event_id=_event_id(pushes))
    batch = request.app[REQUESTS]
    queued = await asyncio.gather(*(batch.add(wanted) for wanted in requests))
    for one in queued:
        if one.is_new:
            _LOG.info("scan queued", extra={"scan_id": one.id, "source": name})
    told = Accepted(
        outcome="queued", scans=tuple(one.id for one in queued), refused_count=refused_count
    )
    return _done(call, endpoint, body, told, event_id=_event_id(pushes))


def _event_id(pushes: Sequence[ImagePushed]) -> str:
    return next((push.event_id for push in pushes if push.event_id), "")


def _done(
    call: EventCall,
    endpoint: WebhookEndpoint,
    body: bytes,
    told: Accepted,
    *,
    event_id: str = "",
    detail: str = "",
) -> web.Response:
    """Count and record what became of an event, and answer it.

    What does not concern us is only counted: registries tell of every layer and every pull.
    """
    counter = call.context.metrics.pushes
    if told.refused_count:
        counter.labels(endpoint.name, "refused").inc(told.refused_count)
    if told.outcome != "refused":
        counter.labels(endpoint.name, told.outcome).inc(len(told.scans) or 1)
    if told.outcome == "uninteresting":
        return json_answer(told)
    if told.outcome != "queued":
        _LOG.warning("webhook event %s", told.outcome, extra={"source": endpoint.name})
    refused = f"{told.refused_count} of registries that may not be asked"
    call.request.app[DELIVERIES].add_unwatched(
        Delivery(
            source=endpoint.name,
            event_id=event_id or hashlib.sha256(body).hexdigest(),
            outcome=told.outcome,
            detail=detail[:_DETAIL_LENGTH] or (refused if told.refused_count else ""),
        )
    )
    return json_answer(told, status=202 if told.outcome == "queued" else 200)


def _endpoint(call: EventCall, name: str) -> WebhookEndpoint:
    endpoint = call.context.webhooks.get(name)
    if endpoint is None:
        raise RequestError(404, "unknown-source", "no webhook of this name is configured")
    return endpoint


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _replied(reply: Reply, name: str) -> web.Response:
    if reply.notice:
        _LOG.warning("webhook needs the operator", extra={"source": name, "notice": reply.notice})
    headers = {**reply.headers, "Content-Type": reply.media_type or "application/json"}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def _check_sender(
    call: EventCall,
    endpoint: WebhookEndpoint,
    headers: dict[str, str],
    body: bytes,
    shown: str,
) -> None:
    """Return if the sender is known: by its own secret, or by a token of ours where it has none."""
    expected = endpoint.credential
    if expected.kind is CredentialKind.BEARER and not expected.secret:
        await call.request.app[TOKEN_CHECK].require(headers.get("authorization", ""), Scope.WEBHOOK)
        return
    oidc = call.context.oidc_keys if expected.kind is CredentialKind.OIDC else None

    def check(keys: Sequence[Mapping[str, Any]]) -> None:
        signature = endpoint.source.signature
        authenticate(expected, signature, headers, body, shown, keys=keys, now=time.time())

    try:
        check(await oidc.keys() if oidc else ())
    except UnauthenticatedError:
        if oidc is None:
            raise
        check(await oidc.keys(anew=True))  # its keys may have changed since


def _wanted(
    call: EventCall,
    endpoint: WebhookEndpoint,
    push: ImagePushed,
) -> ScanRequest | None:
    """Return what to scan for a push, None if its registry may not be asked.

    The registry is the configured one, else the event's if that is allowed.
    """
    host = endpoint.host or push.host
    if not endpoint.host and not is_allowed_host(host, call.context.allowed_registries):
        return None
    tag = f":{push.tag}" if push.tag else ""
    digest = f"@{push.digest}" if push.digest else ""
    try:
        named = parse_reference(f"{host}/{push.repository}{tag}{digest}")
    except InvalidReferenceError:
        return None
    return ScanRequest(
        registry=named.registry,
        repository=named.repository,
        tag=named.tag,
        digest=named.digest or "",
        priority=Priority.PUSHED,
        requested_by=f"webhook/{endpoint.name}",
    )


_ANSWERS: Final = {
    200: Content(type=Accepted, description="Read, and nothing to scan in it; or a handshake"),
    202: Content(type=Accepted, description="Queued, and on disk"),
}

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/webhooks/{source}",
        summary="Tell of a push",
        handler=receive_event,
        parameters=Sender,
        answers=_ANSWERS,
        problems=(401, 403, 404),
        raw_body=True,
        tag="webhooks",
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{source}/{secret}",
        summary="Tell of a push, with the secret in the path",
        handler=receive_event_with_secret,
        parameters=SenderWithSecret,
        answers=_ANSWERS,
        problems=(401, 403, 404),
        raw_body=True,
        tag="webhooks",
    ),
    Route(
        method="OPTIONS",
        path="/v1/webhooks/{source}",
        summary="Answer a sender's handshake",
        handler=shake_hands,
        parameters=Sender,
        answers={200: Content(media_types=(), description="The sender may send")},
        problems=(404, 405),
        tag="webhooks",
    ),
)
