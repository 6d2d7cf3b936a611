"""How much of /proc is masked.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach, containers, quoted, the_containers
from scanner.ports.control import Breach, Control, Level, Place, PodContext

_USER_NAMESPACES_SINCE: Final = 35


def check_restricted(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse all but Default."""
    places = [
        Place((*path, "securityContext", "procMount"), c.name, c.security_context.proc_mount)
        for c, path in containers(pod)
        if c.security_context.proc_mount not in {None, "Default"}
        and c.security_context.proc_mount is not None
    ]
    names = [place.container for place in places]
    values = sorted({place.value for place in places})
    return breach(
        "procMount",
        f"{the_containers(names)} must not set securityContext.procMount to {quoted(values)}",
        places,
    )


def check_baseline(pod: Pod, context: PodContext) -> Breach | None:
    """Refuse all but Default, except in a user namespace."""
    if context.minor >= _USER_NAMESPACES_SINCE and pod.spec.host_users is False:
        return None
    return check_restricted(pod, context)


_FIELDS: Final = "`securityContext.procMount` of containers: unset, Default"
_WHY: Final = "/proc unmasked shows and lets change what the kernel keeps for the whole node."
_REMEDY: Final = "Remove procMount."

CONTROL: Final = (
    Control(
        name="procMount_baseline",
        rule_id="pod/proc-mount",
        level=Level.BASELINE,
        kind=Kind.PRIVILEGE,
        severity=Severity.MEDIUM,
        title="A container sees /proc unmasked",
        why=_WHY,
        remedy=_REMEDY,
        fields=_FIELDS,
        check=check_baseline,
        changed=((_USER_NAMESPACES_SINCE, "any value is allowed with `hostUsers: false`"),),
        replaced_by="procMount_restricted",
    ),
    Control(
        name="procMount_restricted",
        rule_id="pod/proc-mount-in-user-namespace",
        level=Level.RESTRICTED,
        kind=Kind.PRIVILEGE,
        severity=Severity.LOW,
        title="A container sees /proc unmasked, if only in a user namespace",
        why=_WHY,
        remedy=_REMEDY,
        fields=f"{_FIELDS}, with `hostUsers: false` too",
        check=check_restricted,
        since=_USER_NAMESPACES_SINCE,
    ),
)
