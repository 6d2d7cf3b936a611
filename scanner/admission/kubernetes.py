"""Kubernetes' ValidatingAdmissionWebhook: ``AdmissionReview`` of ``admission.k8s.io/v1``.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.admission._objects import images_in, pod_in
from scanner.admission._read import distinct, malformed, read, require_kind
from scanner.admission._refusals import status_of
from scanner.admission._texts import annotations_of, message_of, warnings_of
from scanner.model import Decision
from scanner.ports.admission import AdmissionProtocol, ProtocolReply, Question, Ruling

_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_JUDGED: Final = frozenset({"CREATE", "UPDATE"})
_WARNING_LENGTH: Final = 120
"""What Kubernetes recommends; all together it cuts at 4,096 bytes."""
_WARNINGS_BYTES: Final = 4_000


class _Kind(msgspec.Struct, frozen=True):
    group: str = ""
    kind: str = ""


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    operation: str
    kind: _Kind = _Kind()
    name: str = ""
    namespace: str = ""
    user_info: _User = _User()
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None
    dry_run: bool | None = None


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


def parse(body: bytes) -> Question:
    """Return what is to be created or changed; of a change only images that were not there before."""
    review = read(body, _Review)
    require_kind((review.api_version, review.kind), (_VERSION, _KIND))
    request = review.request
    if request is None:
        raise malformed("there is no request")
    is_judged = request.operation in _JUDGED
    if is_judged and request.object is None:
        raise malformed("request.object: there is none")
    return Question(
        images=distinct(_new_images(request)) if is_judged else (),
        namespace=request.namespace,
        subject=f"{request.kind.kind}/{request.name or _generated(request.object)}",
        operation=request.operation,
        user=request.user_info.username,
        request_id=request.uid,
        version=review.api_version,
        is_dry_run=bool(request.dry_run),
        pod=_new_pod(request) if is_judged else None,
    )


def _new_images(request: _Request) -> list[str]:
    """Return the images that were not there: what runs already must stay changeable, and be let go of."""
    known = set(images_in(request.old_object)) if request.operation == "UPDATE" else set()
    return [image for image in images_in(request.object) if image not in known]


def _new_pod(request: _Request) -> Any:
    def pod(value: dict[str, Any] | None) -> Any:
        return None if value is None else pod_in(value, request.kind.group, request.kind.kind)

    found = pod(request.object)
    if found is None or request.operation != "UPDATE":
        return found
    before = pod(request.old_object)
    is_same = before is not None and before.get("spec") == found.get("spec")
    return None if is_same else found


def _generated(value: dict[str, Any] | None) -> str:
    """Return what an object will be called, as far as that is known."""
    metadata = value.get("metadata") if value else None
    name = metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{name}*" if isinstance(name, str) else ""


def answer(question: Question, ruling: Ruling) -> ProtocolReply:
    """Return the review's response; a denial says why."""
    allowed = ruling.decision is not Decision.DENY
    response: dict[str, Any] = {"uid": question.request_id, "allowed": allowed}
    if not allowed:
        message = message_of(ruling)
        response["status"] = {"code": 403, "reason": "Forbidden", "message": message}
    warnings = warnings_of(ruling, each=_WARNING_LENGTH, total=_WARNINGS_BYTES) if allowed else []
    if warnings:
        response["warnings"] = warnings
    response["auditAnnotations"] = annotations_of(ruling)
    review = {"apiVersion": question.version, "kind": _KIND, "response": response}
    return ProtocolReply(body=msgspec.json.encode(review))


PROTOCOL: Final = AdmissionProtocol(
    name="kubernetes",
    parse=parse,
    answer=answer,
    refuse=status_of,
    timeout_seconds=10.0,
    summary="Kubernetes, ValidatingAdmissionWebhook",
    documentation="https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/",
)
