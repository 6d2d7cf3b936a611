"""Admissions: read within bounds, whoever asks checked, ruled on in time, written down, and answered as it is understood."""

from __future__ import annotations

import http
import logging
import re
from typing import Annotated, Final, TypeAlias

import msgspec
from aiohttp import web

from scanner import discovery
from scanner.errors import InputError, StoreError, UnauthenticatedError
from scanner.ports.admission import (
    AdmissionDecision,
    AdmissionProtocol,
    Cause,
    DecidedImage,
    ProtocolReply,
    Question,
    Refused,
    Ruling,
)
from scanner.web._auth import client_of
from scanner.web._keys import DECISIONS, TOKEN_CHECK
from scanner.web._parameters import END
from scanner.web._problems import RequestError
from scanner.web._request import read_bounded
from scanner.web._route import Call, Content, Route, Scope

_LOG: Final = logging.getLogger(__name__)
_SHARE: Final = 0.8
"""Of the time that the caller gives: the rest is the way there and back."""
_LONGEST_SECONDS: Final = 30.0
_REASONS_CHARS: Final = 1_000
_DURATION: Final = re.compile(r"([0-9]{1,6})(ms|s|m)\Z")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}" + END)]
_Timeout = Annotated[
    str, msgspec.Meta(max_length=16, description="How long the caller waits, as Kubernetes adds it")
]
_Token = Annotated[
    str, msgspec.Meta(max_length=512, description="A token, for callers that can send no header")
]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """By which protocol."""

    protocol: _Name
    timeout: _Timeout = ""


class AskedWithToken(msgspec.Struct, frozen=True, kw_only=True):
    """By which protocol, and the token."""

    protocol: _Name
    token: _Token
    timeout: _Timeout = ""


AskedCall: TypeAlias = Call[Asked, None] | Call[AskedWithToken, None]


async def ask_admission(call: Call[Asked, None]) -> web.StreamResponse:
    """Answer whether images may run, in the words of the protocol; what is not known is scanned meanwhile."""
    return await _answer(call, call.request.headers.get("Authorization", ""))


async def ask_admission_with_token(call: Call[AskedWithToken, None]) -> web.StreamResponse:
    """Do the same for a caller that shows its token in the path."""
    return await _answer(call, f"Bearer {call.parameters.token}")


async def _answer(call: AskedCall, shown: str) -> web.StreamResponse:
    protocol = discovery.admission_protocols().get(call.parameters.protocol)
    if protocol is None:
        raise RequestError(404, "unknown-protocol", "there is no admission protocol of this name")
    try:
        reply = await _reply(call, protocol, shown)
    except RequestError as error:
        reply = protocol.refuse(
            Refused(status=error.status, code=error.problem_code, detail=error.detail)
        )
    except UnauthenticatedError as error:
        reply = protocol.refuse(Refused(status=401, code=error.code, detail=str(error)))
    except InputError as error:
        reply = protocol.refuse(Refused(status=400, code=error.code, detail=str(error)))
    headers = {"Content-Type": reply.media_type, "Cache-Control": "no-store"}
    if reply.status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="scanner"'
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def _reply(call: AskedCall, protocol: AdmissionProtocol, shown: str) -> ProtocolReply:
    admission = call.context.admission
    try:
        requested_by = await _who(call, shown)
    except StoreError:  # nobody can tell who it is; it learns nothing but that
        question = protocol.parse(await read_bounded(call.request))
        ruling = admission.trouble(question, "the scanner's database cannot be used just now")
        return _told(call, protocol, question, ruling, "")
    question = protocol.parse(await read_bounded(call.request))
    seconds = _seconds(call.parameters.timeout, protocol.timeout_seconds) * _SHARE
    ruling = await admission.rule(question, seconds=seconds, requested_by=requested_by)
    return _told(call, protocol, question, ruling, requested_by)


async def _who(call: AskedCall, shown: str) -> str:
    """Return who asks, by the certificate that the connection was opened with, else by a token."""
    name = client_of(call.request, call.context.client_names)
    if name and not shown:
        return f"certificate/{name}"
    token = await call.request.app[TOKEN_CHECK].require(shown, Scope.ADMISSION)
    return f"token/{token}" if token else ""


def _seconds(timeout: str, default: float) -> float:
    match = _DURATION.match(timeout)
    given = int(match[1]) * _UNITS[match[2]] if match else 0.0
    return min(given or default, _LONGEST_SECONDS)


def _told(
    call: AskedCall,
    protocol: AdmissionProtocol,
    question: Question,
    ruling: Ruling,
    requested_by: str,
) -> ProtocolReply:
    """Count, write down and return an answer. A dry run leaves nothing behind."""
    call.context.metrics.admissions.labels(protocol.name, ruling.decision, ruling.cause).inc()
    if ruling.cause is not Cause.NOTHING and not question.is_dry_run:
        made = _decision(protocol.name, question, ruling, requested_by)
        call.request.app[DECISIONS].add_unwatched(made)
        fields = {"protocol": made.protocol, "namespace": made.namespace, "subject": made.subject}
        _LOG.info(
            "admission",
            extra={**fields, "decision": made.decision, "cause": made.cause, "reason": made.reason},
        )
    return protocol.answer(question, ruling)


def _decision(
    protocol: str, question: Question, ruling: Ruling, requested_by: str
) -> AdmissionDecision:
    worst = [one for one in ruling.images if one.decision is ruling.decision]
    reasons = [ruling.note, *ruling.pod_reasons, *(r for one in worst for r in one.reasons[:3])]
    return AdmissionDecision(
        protocol=protocol,
        namespace=question.namespace,
        subject=question.subject,
        operation=question.operation,
        user=question.user,
        requested_by=requested_by,
        request_id=question.request_id,
        decision=ruling.decision,
        cause=ruling.cause,
        reason="; ".join(filter(None, reasons))[:_REASONS_CHARS],
        policy_digest=ruling.policy_digest,
        images=tuple(
            DecidedImage(
                image=one.image,
                digest=one.digest,
                decision=one.decision,
                reason="; ".join(one.reasons)[:_REASONS_CHARS],
            )
            for one in ruling.images
        ),
    )


_JSON: Final = "application/json"
_REFUSED: Final = Content(
    type=dict,
    media_types=(_JSON, "application/problem+json"),
    description="Refused, as the caller reads it",
)
_ANSWERS: Final = {
    200: Content(type=dict, description="The protocol's answer, also where it is a denial"),
    **dict.fromkeys((400, 401, 403, 408, 413, 503), _REFUSED),
}

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/admission/{protocol}",
        summary="May these images run?",
        handler=ask_admission,
        parameters=Asked,
        answers=_ANSWERS,
        problems=(404,),
        scope=Scope.ADMISSION,
        checks_scope=True,
        raw_body=True,
        tag="admission",
    ),
    Route(
        method="POST",
        path="/v1/admission/{protocol}/{token}",
        summary="The same, for a caller that can send no header",
        handler=ask_admission_with_token,
        parameters=AskedWithToken,
        answers=_ANSWERS,
        problems=(404,),
        raw_body=True,
        tag="admission",
    ),
)
