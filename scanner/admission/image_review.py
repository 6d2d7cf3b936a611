"""Kubernetes' ImagePolicyWebhook: ``ImageReview`` of ``imagepolicy.k8s.io/v1alpha1``.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#imagepolicywebhook
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.admission._read import distinct, read, require_kind
from scanner.admission._refusals import status_of
from scanner.admission._texts import annotations_of, message_of
from scanner.model import Decision
from scanner.ports.admission import AdmissionProtocol, ProtocolReply, Question, Ruling

_VERSION: Final = "imagepolicy.k8s.io/v1alpha1"
_KIND: Final = "ImageReview"


class _Container(msgspec.Struct, frozen=True):
    image: str = ""


class _Spec(msgspec.Struct, frozen=True):
    containers: tuple[_Container, ...] = ()
    namespace: str = ""


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    spec: _Spec = _Spec()


def parse(body: bytes) -> Question:
    """Return the images of a pod that is to be created or changed."""
    review = read(body, _Review)
    require_kind((review.api_version, review.kind), (_VERSION, _KIND))
    return Question(
        images=distinct(c.image for c in review.spec.containers if c.image),
        namespace=review.spec.namespace,
        subject="Pod/",
        version=review.api_version,
    )


def answer(question: Question, ruling: Ruling) -> ProtocolReply:
    """Return the review's status; a denial says why."""
    allowed = ruling.decision is not Decision.DENY
    status: dict[str, Any] = {"allowed": allowed, "auditAnnotations": annotations_of(ruling)}
    if not allowed:
        status["reason"] = message_of(ruling)
    review = {"apiVersion": question.version, "kind": _KIND, "status": status}
    return ProtocolReply(body=msgspec.json.encode(review))


PROTOCOL: Final = AdmissionProtocol(
    name="image-review",
    parse=parse,
    answer=answer,
    refuse=status_of,
    timeout_seconds=30.0,
    summary="Kubernetes, ImagePolicyWebhook",
    documentation="https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#imagepolicywebhook",
)
