"""A pod by the Pod Security Standards: what an admission answers, and what a report says.

Source: https://github.com/kubernetes/pod-security-admission
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from scanner.discovery import pod_controls
from scanner.model.pod import Pod
from scanner.pod_security.versions import NEWEST, version_text
from scanner.ports.control import Breach, Control, Level, Place, PodContext


@dataclass(frozen=True, slots=True)
class Violation:
    """A control that a pod breaks."""

    control: Control
    breach: Breach

    def __str__(self) -> str:
        """``reason (detail)``, in the words of Kubernetes' own admission."""
        return f"{self.breach.reason} ({self.breach.detail})"


def violations(pod: Pod, level: Level, minor: int = NEWEST) -> tuple[Violation, ...]:
    """Return what the standards refuse at a level and a version, in the order of Kubernetes' own admission."""
    context = PodContext(minor)
    return tuple(_broken(_standards(level, minor), pod, context))


def beyond(
    pod: Pod, image_user: Callable[[str], str | None], minor: int = NEWEST
) -> tuple[Violation, ...]:
    """Return what is dangerous although the standards do not speak of it, or only at their strictest."""
    context = PodContext(minor, image_user)
    others = (c for c in pod_controls() if c.level is Level.PRIVILEGED or c.always_told)
    return tuple(_broken(others, pod, context))


def told(pod: Pod, level: Level, context: PodContext) -> Iterator[tuple[Control, Place]]:
    """Yield each wrong field once, with the worst that is to be said of it, the standards before what they leave out."""
    worst: dict[object, tuple[Control, Place]] = {}
    wanted = (
        c
        for c in _standards_first()
        if c.since <= context.minor and (c.level.rank <= level.rank or c.always_told)
    )
    for violation in _broken(wanted, pod, context):
        for place in violation.breach.places:
            known = worst.get(place.path)
            if known is None or known[0].severity.rank < violation.control.severity.rank:
                worst[place.path] = (violation.control, place)
    yield from worst.values()


def forbidden_text(found: Iterable[Violation], level: Level, minor: int = NEWEST) -> str:
    """Return what Kubernetes says to whoever is refused."""
    reasons = ", ".join(map(str, found))
    return f'violates PodSecurity "{level}:{version_text(minor)}": {reasons}'


@cache
def _standards_first() -> tuple[Control, ...]:
    return tuple(sorted(pod_controls(), key=lambda c: c.level is Level.PRIVILEGED))


@cache
def _standards(level: Level, minor: int) -> tuple[Control, ...]:
    asked = [
        c
        for c in pod_controls()
        if c.level is not Level.PRIVILEGED and c.level.rank <= level.rank and c.since <= minor
    ]
    names = {c.name for c in asked}
    remaining = (c for c in asked if c.replaced_by not in names)
    return tuple(sorted(remaining, key=lambda c: (c.level.rank, c.name.lower())))


def _broken(controls: Iterable[Control], pod: Pod, context: PodContext) -> Iterator[Violation]:
    for control in controls:
        if (found := control.check(pod, context)) is not None:
            yield Violation(control, found)
