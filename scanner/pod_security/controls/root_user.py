"""Who a container runs as, once pod and image have both been asked.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Container, Pod
from scanner.pod_security.controls._shared import breach, containers, once, the_containers
from scanner.ports.control import Breach, Control, FieldPath, Level, Place, PodContext


def _user_of(pod: Pod, container: Container, path: FieldPath) -> tuple[int | None, FieldPath]:
    """Return the uid that the manifest names, and where."""
    own = container.security_context.run_as_user
    if own is not None:
        return own, (*path, "securityContext", "runAsUser")
    return pod.spec.security_context.run_as_user, ("spec", "securityContext", "runAsUser")


def _must_not_be_root(pod: Pod, container: Container) -> bool:
    own = container.security_context.run_as_non_root
    return bool(pod.spec.security_context.run_as_non_root if own is None else own)


def _name(image_user: str) -> str:
    return image_user.strip().partition(":")[0]


def _roots(pod: Pod, context: PodContext) -> Iterator[Place]:
    for container, path in containers(pod):
        uid, where = _user_of(pod, container, path)
        if uid == 0:
            yield Place(where, container.name, "runAsUser: 0")
        elif uid is None and not _must_not_be_root(pod, container):
            user = context.image_user(container.image)
            value = "unknown" if user is None else f"image's user is {_name(user) or 'root'}"
            if user is None or _name(user) in {"", "0", "root"}:
                where = (*path, "securityContext", "runAsNonRoot")
                yield Place(where, container.name, value)


def check_root(pod: Pod, context: PodContext) -> Breach | None:
    """Find containers that are root, or may be for all that is known. Not in a user namespace, not on Windows."""
    if pod.is_windows or pod.spec.host_users is False:
        return None
    places = list(_roots(pod, context))
    names = once(place.container for place in places)
    return breach("root user", f"{the_containers(names)} may run as root", places)


def check_numeric(pod: Pod, context: PodContext) -> Breach | None:
    """Find images whose user is a name where Kubernetes must know that it is not root."""
    places = []
    for container, path in containers(pod):
        uid, _ = _user_of(pod, container, path)
        user = context.image_user(container.image)
        if uid is None and user is not None and _must_not_be_root(pod, container):
            name = _name(user)
            if not name.isdecimal() and name not in {"", "root"}:
                places.append(Place((*path, "image"), container.name, name))
    names = once(place.container for place in places)
    return breach("user without a number", f"{the_containers(names)} cannot start", places)


CONTROL: Final = (
    Control(
        name="rootUser",
        rule_id="pod/root-user",
        level=Level.PRIVILEGED,
        kind=Kind.PRIVILEGE,
        severity=Severity.MEDIUM,
        title="A container runs as root, or may",
        why="Neither the pod nor, as far as it is known, the image says otherwise; root in a container is one kernel flaw from the node.",
        remedy="Set securityContext.runAsNonRoot of the pod to true, and a numeric USER in the image.",
        fields="`runAsUser`, `runAsNonRoot` of pod and containers, `User` of the image: not root; not for `os.name: "
        "windows`, nor with `hostUsers: false`",
        check=check_root,
    ),
    Control(
        name="numericUser",
        rule_id="pod/user-not-numeric",
        level=Level.PRIVILEGED,
        kind=Kind.CONFIG,
        severity=Severity.LOW,
        title="The image's user is a name, and the pod must not be root",
        why="Kubernetes cannot tell whether a name is root: the container does not start.",
        remedy="Name a numeric USER in the image, or set runAsUser.",
        fields="`User` of the image: a number, where `runAsNonRoot` is true and `runAsUser` unset",
        check=check_numeric,
    ),
)
