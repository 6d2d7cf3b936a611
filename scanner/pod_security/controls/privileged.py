"""Privileged containers.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach, containers, the_containers
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def check(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse ``privileged: true``."""
    places = [
        Place((*path, "securityContext", "privileged"), c.name, "true")
        for c, path in containers(pod)
        if c.security_context.privileged
    ]
    names = [place.container for place in places]
    return breach(
        "privileged",
        f"{the_containers(names)} must not set securityContext.privileged=true",
        places,
    )


CONTROL: Final = Control(
    name="privileged",
    rule_id="pod/privileged",
    level=Level.BASELINE,
    kind=Kind.PRIVILEGE,
    severity=Severity.HIGH,
    title="A container is privileged",
    why="It has every capability and every device of the node, and no seccomp or AppArmor: whoever takes it over has the node.",
    remedy="Remove privileged: true; add only the capability that is needed, or mount only the device.",
    fields="`securityContext.privileged` of containers: unset, false",
    check=check,
)
