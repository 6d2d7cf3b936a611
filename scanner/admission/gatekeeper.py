"""Gatekeeper's external data: ``ProviderRequest`` of ``externaldata.gatekeeper.sh/v1beta1``.

An image that is denied is an item with an error, so that a template that forgets to look into values does not let it in.

Source: https://open-policy-agent.github.io/gatekeeper/website/docs/externaldata/
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.admission._read import distinct, read, require_kind
from scanner.admission._texts import cut, image_line
from scanner.model import Decision
from scanner.ports.admission import (
    AdmissionProtocol,
    JudgedImage,
    ProtocolReply,
    Question,
    Refused,
    Ruling,
)

_VERSION: Final = "externaldata.gatekeeper.sh/v1beta1"
_ASKED: Final = "ProviderRequest"
_TOLD: Final = "ProviderResponse"
_ERROR_LENGTH: Final = 500


class _Keys(msgspec.Struct, frozen=True):
    keys: tuple[str, ...]


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Keys = _Keys(())


def parse(body: bytes) -> Question:
    """Return the keys, each of which is an image."""
    request = read(body, _Request)
    require_kind((request.api_version, request.kind), (_VERSION, _ASKED))
    return Question(images=distinct(request.request.keys), version=request.api_version)


def answer(question: Question, ruling: Ruling) -> ProtocolReply:
    """Return one item a key; one that is denied has an error."""
    judged = {one.image: one for one in ruling.images}
    items = [_item(image, judged.get(image), ruling) for image in question.images]
    return _response(items, "")


def _item(image: str, judged: JudgedImage | None, ruling: Ruling) -> dict[str, Any]:
    note = cut(ruling.note, _ERROR_LENGTH)
    if judged is None:  # nothing was judged: the ruling holds for all
        if ruling.decision is Decision.DENY:
            return {"key": image, "error": note or "denied"}
        return {"key": image, "value": {"decision": ruling.decision, "note": note}}
    if judged.decision is Decision.DENY:
        return {"key": image, "error": image_line(judged, _ERROR_LENGTH)}
    reasons = [cut(reason, _ERROR_LENGTH) for reason in judged.reasons]
    value = {"decision": judged.decision, "digest": judged.digest, "reasons": reasons}
    return {"key": image, "value": value}


def refuse(refused: Refused) -> ProtocolReply:
    """Return a system error: Gatekeeper reads the body whatever the status, and forgets the status easily."""
    return _response([], cut(f"scanner: {refused.detail or refused.code}", _ERROR_LENGTH))


def _response(items: list[dict[str, Any]], error: str) -> ProtocolReply:
    response = {"idempotent": True, "items": items, "systemError": error}
    told = {"apiVersion": _VERSION, "kind": _TOLD, "response": response}
    return ProtocolReply(body=msgspec.json.encode(told))


PROTOCOL: Final = AdmissionProtocol(
    name="gatekeeper",
    parse=parse,
    answer=answer,
    refuse=refuse,
    timeout_seconds=3.0,
    summary="Gatekeeper, external data provider",
    documentation="https://open-policy-agent.github.io/gatekeeper/website/docs/externaldata/",
)
