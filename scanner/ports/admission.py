"""What an admission protocol is: a cluster's way of asking whether images may run.

A protocol translates; it does not judge. Reading the request within its bounds, authentication, tags, verdicts, the
decision log and what is done in trouble are the same for all of them and live elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from scanner.model import Decision


class Cause(StrEnum):
    """Why an admission was told what it was told."""

    POLICY = "policy"
    EXEMPT = "exempt"  # settings say that this namespace is not judged
    TROUBLE = "trouble"  # something was out of order: denied, unless settings say otherwise
    NOTHING = "nothing"  # there was nothing new to judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be let in. Every text is a claim, of bounded length or to be cut where it is kept."""

    images: tuple[str, ...]
    """As they are written, each once."""
    namespace: str = ""
    """Empty if unknown."""
    subject: str = ""
    """What holds the images, for people: ``Pod/web``."""
    operation: str = ""
    user: str = ""
    request_id: str = ""
    """What the answer must repeat, and by which the caller's own log calls it."""
    version: str = ""
    """``apiVersion``, which the answer repeats."""
    is_dry_run: bool = False
    """Nothing may be changed by it: no scan is started."""
    pod: Mapping[str, Any] | None = None
    """The pod, or the template of pods, to be checked; as it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedImage:
    """The verdict on one image."""

    image: str
    """As it was asked for."""
    digest: str = ""
    """Empty if it could not be told."""
    decision: Decision
    reasons: tuple[str, ...] = ()
    """One line each, denials first; perhaps not all of them."""
    reasons_count: int = 0
    """All there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The answer to a question."""

    decision: Decision
    """The worst of the images' and of the pod's."""
    cause: Cause = Cause.POLICY
    images: tuple[JudgedImage, ...] = ()
    """In the question's order."""
    pod_decision: Decision = Decision.ALLOW
    pod_reasons: tuple[str, ...] = ()
    """What is wrong with the pod itself."""
    note: str = ""
    """Why it was not judged, where it was not."""
    policy: str = ""
    policy_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why there is no ruling: the question was not understood, or whoever asks may not."""

    status: int
    code: str
    detail: str
    """One line; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolReply:
    """What is sent."""

    body: bytes
    status: int = 200
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionProtocol:
    """One protocol. A leaf module below ``scanner.admission`` exports ``PROTOCOL`` and is found by walking.

    ``parse`` returns what a body asks. It is pure, and raises InputError only, whatever the bytes:
    MalformedEventError, LimitExceededError. ``answer`` and ``refuse`` return what the caller understands, and never
    raise.
    """

    name: str
    """Kebab-case; the path's last part."""
    parse: Callable[[bytes], Question]
    answer: Callable[[Question, Ruling], ProtocolReply]
    refuse: Callable[[Refused], ProtocolReply]
    timeout_seconds: float
    """How long the caller waits where the request does not say."""
    summary: str
    documentation: str
    """The caller's own page on the protocol."""


class DecidedImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image of a decision."""

    image: str
    """As it was asked for."""
    digest: str = ""
    """Empty if it could not be told."""
    decision: Decision
    reason: str = ""


class AdmissionDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What an admission was told."""

    id: str = ""
    """Filled when it is stored, like the moment."""
    decided_at: datetime | None = None
    protocol: str
    namespace: str = ""
    subject: str = ""
    """``Pod/web``."""
    operation: str = ""
    user: str = ""
    """Who wanted it, as the cluster says."""
    requested_by: str = ""
    """Who asked us: ``token/NAME``, ``certificate/NAME``."""
    request_id: str = ""
    decision: Decision
    cause: Cause
    reason: str = ""
    policy_digest: str = ""
    images: tuple[DecidedImage, ...] = ()


class DecisionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which decisions; what is empty does not restrict."""

    decision: Decision | None = None
    namespace: str = ""
    protocol: str = ""
    digest: str = ""
