"""Signed statements about an image: which there are, where they are published, and the statements themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from scanner.discovery import predicates
from scanner.ports.attestations import Publication, StoredAttestations, StoredStatement
from scanner.web._image_answer import now_at
from scanner.web._negotiate import choose
from scanner.web._parameters import OfImage, require_image
from scanner.web._problems import RequestError, unknown
from scanner.web._route import Call, Content, Route, Scope, json_answer

_BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
_JSON: Final = "application/json"
_PredicateType = Annotated[
    str, msgspec.Meta(max_length=255, description="A predicate type, by URI or short name")
]


class WantedAttestations(OfImage, frozen=True, kw_only=True):
    """Which statements."""

    predicate_type: tuple[_PredicateType, ...] = ()


class StatementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One signed statement."""

    predicate_type: str
    name: str
    """Short name of the type; empty for one that is not known here."""
    key_id: str
    state: Literal["current", "stale"]
    """``stale``: it has expired, and proves nothing any more."""
    made_at: datetime
    """When the scan ended that it tells of."""
    expires_at: datetime
    signed_at: datetime


class AttestationsAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is signed about a digest."""

    digest: str
    statements: tuple[StatementAnswer, ...]
    publications: tuple[Publication, ...]
    """Where they are to be, or are."""
    signed_at: datetime | None = None
    """When it was last settled what is to be stated; missing: not yet."""
    error_code: str = ""
    error: str = ""
    """Why nothing could be signed of the last scan."""


async def get_attestations(call: Call[WantedAttestations, None]) -> web.StreamResponse:
    """Return what is signed about a digest; the statements themselves, one a line, if ``Accept`` asks for them.

    Expired ones are listed as ``stale``, and not handed out otherwise.
    """
    store, digest = call.context.store, call.parameters.digest
    accept = call.request.headers.get("Accept", "")
    chosen = choose(accept, [_JSON, _BUNDLE, _ENVELOPE])
    if chosen is None:
        offered = f"{_JSON}, {_BUNDLE}, {_ENVELOPE}"
        raise RequestError(406, "not-acceptable", f"attestations are written as {offered}")
    await require_image(store, digest)
    types = _types(call.parameters.predicate_type)
    found = await store.attestations(digest, types=types, with_envelopes=chosen != _JSON)
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if chosen == _JSON:
        return json_answer(_answer(digest, found), headers=headers)
    now = now_at()
    current = [one for one in found.statements if one.expires_at > now]
    if not current:
        raise unknown("a statement about the image that counts")
    # In a thread: a statement can be large, and other answers must not wait for it.
    body = await asyncio.to_thread(_lines, current, chosen)
    return web.Response(body=body, headers={**headers, "Content-Type": chosen})


def _types(wanted: Sequence[str]) -> tuple[str, ...]:
    known = predicates()
    return tuple(known[one].type if one in known else one for one in wanted)


def _answer(digest: str, found: StoredAttestations) -> AttestationsAnswer:
    names = {one.type: one.name for one in predicates().values()}
    now = now_at()
    return AttestationsAnswer(
        digest=digest,
        statements=tuple(
            _statement(one, names.get(one.predicate_type, ""), now) for one in found.statements
        ),
        publications=found.publications,
        signed_at=found.signed_at,
        error_code=found.error_code,
        error=found.error,
    )


def _statement(one: StoredStatement, name: str, now: datetime) -> StatementAnswer:
    return StatementAnswer(
        predicate_type=one.predicate_type,
        name=name,
        key_id=one.key_id,
        state="current" if one.expires_at > now else "stale",
        made_at=one.made_at,
        expires_at=one.expires_at,
        signed_at=one.signed_at,
    )


def _lines(statements: Sequence[StoredStatement], media_type: str) -> bytes:
    """Return bundles or envelopes, one a line; of one alone, its very bytes."""
    if media_type == _ENVELOPE:
        return b"\n".join(one.envelope for one in statements)
    from scanner.attest.bundle import rebuild_bundle  # noqa: PLC0415 - cryptography costs 0.1 s

    return b"\n".join(rebuild_bundle(one.envelope, one.key_id) for one in statements)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/images/{digest}/attestations",
        summary="Signed statements about an image",
        handler=get_attestations,
        parameters=WantedAttestations,
        answers={
            200: Content(
                type=AttestationsAnswer,
                media_types=(_JSON, _BUNDLE, _ENVELOPE),
                description="What is signed, or sigstore bundles or DSSE envelopes, one a line",
            )
        },
        problems=(404, 406),
        scope=Scope.READ,
        tag="images",
    ),
)
