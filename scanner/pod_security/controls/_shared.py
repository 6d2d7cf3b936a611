"""What controls have in common: walking a pod, and the words of Kubernetes' own admission."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from scanner.model.pod import Container, Pod, Profile, SecurityContext
from scanner.ports.control import Breach, FieldPath, Place

ALLOWED_PROFILES = frozenset({"RuntimeDefault", "Localhost"})


def containers(pod: Pod) -> Iterator[tuple[Container, FieldPath]]:
    """Yield every container with its path: init, then ordinary, then ephemeral ones."""
    for name, group in (
        ("initContainers", pod.spec.init_containers),
        ("containers", pod.spec.containers),
        ("ephemeralContainers", pod.spec.ephemeral_containers),
    ):
        for number, container in enumerate(group):
            yield container, ("spec", name, number)


def security_contexts(pod: Pod) -> Iterator[tuple[str | None, SecurityContext, FieldPath]]:
    """Yield the pod's security context (name None), then the containers'."""
    yield None, pod.spec.security_context, ("spec", "securityContext")
    for container, path in containers(pod):
        yield container.name, container.security_context, (*path, "securityContext")


def quoted(items: Iterable[str]) -> str:
    """Return ``"a", "b"``."""
    return ", ".join(f'"{item}"' for item in items)


def plural(singular: str, items: Sequence[object], many: str = "") -> str:
    """Return the word for that many."""
    return singular if len(items) == 1 else many or f"{singular}s"


def the_containers(names: Sequence[str]) -> str:
    """Return ``container "a"`` or ``containers "a", "b"``."""
    return f"{plural('container', names)} {quoted(names)}"


def setters(names: Sequence[str | None]) -> str:
    """Return who set something: ``pod and containers "a", "b"``; None is the pod."""
    of_containers = [name for name in names if name is not None]
    who = ["pod"] if None in names else []
    if of_containers:
        who.append(the_containers(of_containers))
    return " and ".join(who)


def once(names: Iterable[str]) -> list[str]:
    """Return each once, in order."""
    return list(dict.fromkeys(names))


def added_capabilities(pod: Pod, allowed: Collection[str]) -> list[Place]:
    """Return the places of capabilities that are added and not allowed."""
    return [
        Place((*path, "securityContext", "capabilities", "add", number), c.name, capability)
        for c, path in containers(pod)
        for number, capability in enumerate(c.security_context.capabilities.add)
        if capability not in allowed
    ]


def forbidden_profiles(
    found: Iterable[tuple[str | None, Profile | None, FieldPath]],
) -> tuple[list[str | None], list[Place]]:
    """Return who sets a profile that is not allowed, and where."""
    bad = [
        (name, profile, path)
        for name, profile, path in found
        if profile is not None and profile.type not in ALLOWED_PROFILES
    ]
    places = [Place((*path, "type"), name or "", profile.type) for name, profile, path in bad]
    return [name for name, _, _ in bad], places


def breach(reason: str, detail: str, places: Iterable[Place]) -> Breach | None:
    """Return the breach; None without a place."""
    found = tuple(places)
    return Breach(reason, detail, found) if found else None
