"""Push events of registries: read within bounds, sender checked, hosts checked, queued, then answered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner.errors import InvalidReferenceError
from scanner.model.reference import parse_reference
from scanner.ports import CredentialKind, ImagePushed, Reply
from scanner.web._context import AcceptedPush, WebhookEndpoint
from scanner.web._hosts import is_allowed_host
from scanner.web._keys import PUSHES, TOKEN_CHECK
from scanner.web._problems import RequestError
from scanner.web._request import read_bounded
from scanner.web._route import Call, Content, Route, Scope, json_answer
from scanner.webhooks._authenticate import authenticate

_LOG: Final = logging.getLogger(__name__)
_Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
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

    scans: tuple[str, ...]
    """Ids of the scans, in the order of the event's images; empty if it tells of none."""


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
    call: Call[Sender, None] | Call[SenderWithSecret, None],
    name: str,
    shown: str,
) -> web.StreamResponse:
    endpoint = _endpoint(call, name)
    body = await read_bounded(request)
    headers = _headers(request)
    if (reply := endpoint.source.reply(headers, body)) is not None:
        return _replied(reply, endpoint.name)
    await _check_sender(call, endpoint, headers, body, shown)
    pushes = [
        AcceptedPush(source=name, push=_allowed(call, endpoint, push))
        for push in endpoint.source.parse(headers, body)
    ]
    if not pushes:
        call.context.metrics.pushes.labels(name, "uninteresting").inc()
        return json_answer(Accepted(scans=()))
    batch = request.app[PUSHES]
    scans = await asyncio.gather(*(batch.add(push) for push in pushes))
    call.context.metrics.pushes.labels(name, "queued").inc(len(scans))
    return json_answer(Accepted(scans=tuple(scans)), status=202)


def _endpoint(
    call: Call[Sender, None] | Call[SenderWithSecret, None], name: str
) -> WebhookEndpoint:
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
    call: Call[Sender, None] | Call[SenderWithSecret, None],
    endpoint: WebhookEndpoint,
    headers: dict[str, str],
    body: bytes,
    shown: str,
) -> None:
    """Return if the sender is known: by its own secret, or by a token of ours where it has none."""
    expected = endpoint.credential
    if expected.kind is CredentialKind.BEARER and not expected.secret:
        check = call.request.app[TOKEN_CHECK]
        await check.require(headers.get("authorization", ""), Scope.WEBHOOK)
        return
    authenticate(
        expected,
        endpoint.source.signature,
        headers,
        body,
        shown,
        keys=call.context.oidc_keys,
        now=time.time(),
    )


def _allowed(
    call: Call[Sender, None] | Call[SenderWithSecret, None],
    endpoint: WebhookEndpoint,
    push: ImagePushed,
) -> ImagePushed:
    """Return the push with the host to ask: the configured one, else the event's if that is allowed."""
    host = endpoint.host or push.host
    configured = bool(endpoint.host)
    if not configured and not is_allowed_host(host, call.context.allowed_registries):
        call.context.metrics.pushes.labels(endpoint.name, "refused").inc()
        _LOG.warning("push of a host that is not allowed", extra={"source": endpoint.name})
        raise RequestError(403, "forbidden-host", "the event's registry is not an allowed one")
    named = f"{host}/{push.repository}"
    tag = f":{push.tag}" if push.tag else ""
    digest = f"@{push.digest}" if push.digest else ""
    try:
        parse_reference(f"{named}{tag}{digest}")
    except InvalidReferenceError as error:
        raise RequestError(400, "bad-reference", "the event names no image") from error
    return ImagePushed(
        host=host,
        repository=push.repository,
        tag=push.tag,
        digest=push.digest,
        event_id=push.event_id,
    )


_ANSWERS: Final = {
    200: Content(type=Accepted, description="Nothing to scan in it, or a handshake"),
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
