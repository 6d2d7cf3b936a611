"""Gaining privileges by setuid files.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach, containers, the_containers
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def check(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Ask every container for ``allowPrivilegeEscalation: false``. Not for Windows."""
    if pod.is_windows:
        return None
    places = [
        Place(
            (*path, "securityContext", "allowPrivilegeEscalation"),
            c.name,
            "true" if c.security_context.allow_privilege_escalation else "",
        )
        for c, path in containers(pod)
        if c.security_context.allow_privilege_escalation is not False
    ]
    names = [place.container for place in places]
    return breach(
        "allowPrivilegeEscalation != false",
        f"{the_containers(names)} must set securityContext.allowPrivilegeEscalation=false",
        places,
    )


CONTROL: Final = Control(
    name="allowPrivilegeEscalation",
    rule_id="pod/privilege-escalation",
    level=Level.RESTRICTED,
    kind=Kind.PRIVILEGE,
    severity=Severity.MEDIUM,
    title="A container may gain privileges",
    why="Unless it is switched off, a process can become root by any setuid file or file capability in the image.",
    remedy="Set securityContext.allowPrivilegeEscalation of the container to false.",
    fields="`securityContext.allowPrivilegeEscalation` of containers: false; not for `os.name: windows`",
    check=check,
    always_told=True,
)
