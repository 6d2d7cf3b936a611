"""What a check of a pod is: a control of the Pod Security Standards, or one that they leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from scanner.model import Kind, Severity
from scanner.model.pod import Pod

FieldPath = tuple[str | int, ...]
"""Where in a pod: ``("spec", "containers", 0, "securityContext", "privileged")``."""


class Level(StrEnum):
    """How strict; each has all of those before."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """0 for privileged up to 2 for restricted."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class PodContext:
    """What a check must know beside the pod."""

    minor: int
    """Of the Kubernetes version whose rules count: 29 for v1.29."""
    image_user: Callable[[str], str | None] = lambda _image: None
    """``User`` of an image's config (empty is root) by image as the pod names it; None if it is not known."""


@dataclass(frozen=True, slots=True)
class Place:
    """One field that is not as it should be. A field that is missing has a place too."""

    path: FieldPath
    container: str = ""
    """Name of the container it belongs to; empty for the pod."""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a control refuses a pod, in the words of Kubernetes' own admission, and where."""

    reason: str
    """``allowPrivilegeEscalation != false``."""
    detail: str
    """``container "x" must set securityContext.allowPrivilegeEscalation=false``."""
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One check. ``check(pod, context)`` is pure and gives None for a pod that may be.

    A leaf module below ``scanner.pod_security.controls`` exports ``CONTROL``, one or a tuple, and is found by
    walking the package.
    """

    name: str
    """The standards' own id, where it is one of theirs."""
    rule_id: str
    level: Level
    """The level that asks for it; privileged for what the standards leave out."""
    kind: Kind
    severity: Severity
    title: str
    why: str
    remedy: str
    fields: str
    """Which fields may have which values, in a line."""
    check: Callable[[Pod, PodContext], Breach | None]
    since: int = 0
    """First minor version of Kubernetes that asks for it."""
    changed: tuple[tuple[int, str], ...] = ()
    """Minor versions in which it changed, and how."""
    replaced_by: str = ""
    """Name of the stricter control that stands for this one in an admission's answer, where it is asked for."""
    always_told: bool = False
    """A finding whatever level is asked for."""
