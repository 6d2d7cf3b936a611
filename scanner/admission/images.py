"""The plain protocol, ours: a list of images in, a verdict for each out. For deploy tools, and Kyverno's service calls.

Source: https://kyverno.io/docs/policy-types/cluster-policy/external-data-sources/#service-call
"""

from __future__ import annotations

import http
from typing import Any, Final

import msgspec

from scanner.admission._read import distinct, read
from scanner.admission._texts import cut, message_of
from scanner.model import Decision
from scanner.ports.admission import AdmissionProtocol, ProtocolReply, Question, Refused, Ruling

_PROBLEM: Final = "application/problem+json"
_REASON_LENGTH: Final = 500


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    images: tuple[str, ...]
    namespace: str = ""
    subject: str = ""
    request_id: str = ""
    dry_run: bool = False


def parse(body: bytes) -> Question:
    """Return the images asked for; a field that is not known is an error, as it may be a misspelt one."""
    asked = read(body, _Asked)
    return Question(
        images=distinct(asked.images),
        namespace=asked.namespace,
        subject=asked.subject,
        request_id=asked.request_id,
        is_dry_run=asked.dry_run,
    )


def answer(question: Question, ruling: Ruling) -> ProtocolReply:
    """Return whether all may run, and the verdict on each."""
    told: dict[str, Any] = {
        "allowed": ruling.decision is not Decision.DENY,
        "decision": ruling.decision,
        "cause": ruling.cause,
        "message": message_of(ruling),
        "images": [
            {
                "image": one.image,
                "digest": one.digest,
                "decision": one.decision,
                "reasons": [cut(reason, _REASON_LENGTH) for reason in one.reasons],
                "reasons_count": one.reasons_count,
            }
            for one in ruling.images
        ],
        "policy": ruling.policy,
        "policy_digest": ruling.policy_digest,
        "request_id": question.request_id,
    }
    return ProtocolReply(body=msgspec.json.encode(told))


def refuse(refused: Refused) -> ProtocolReply:
    """Return a problem document, as every other endpoint does."""
    problem = {
        "type": "about:blank",
        "title": http.HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": cut(refused.detail, _REASON_LENGTH),
        "code": refused.code,
    }
    return ProtocolReply(
        body=msgspec.json.encode(problem), status=refused.status, media_type=_PROBLEM
    )


PROTOCOL: Final = AdmissionProtocol(
    name="images",
    parse=parse,
    answer=answer,
    refuse=refuse,
    timeout_seconds=10.0,
    summary="a list of images; Kyverno's service call",
    documentation="https://kyverno.io/docs/policy-types/cluster-policy/external-data-sources/",
)
