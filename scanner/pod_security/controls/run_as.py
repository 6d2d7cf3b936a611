"""Running as root.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import (
    breach,
    containers,
    security_contexts,
    setters,
    the_containers,
)
from scanner.ports.control import Breach, Control, Level, Place, PodContext

USER_NAMESPACES_SINCE: Final = 35
_RELAXED: Final = ((USER_NAMESPACES_SINCE, "not asked for with `hostUsers: false`"),)


def _is_relaxed(pod: Pod, context: PodContext) -> bool:
    return context.minor >= USER_NAMESPACES_SINCE and pod.spec.host_users is False


def check_non_root(pod: Pod, context: PodContext) -> Breach | None:
    """Ask for ``runAsNonRoot: true``, of the pod or of each container; a container's false wins."""
    if _is_relaxed(pod, context):
        return None
    reason = "runAsNonRoot != true"
    found = [
        (name, Place((*path, "runAsNonRoot"), name or "", "false"))
        for name, security, path in security_contexts(pod)
        if security.run_as_non_root is False
    ]
    if found:
        who = setters([name for name, _ in found])
        text = f"{who} must not set securityContext.runAsNonRoot=false"
        return breach(reason, text, (place for _, place in found))
    if pod.spec.security_context.run_as_non_root:
        return None
    places = [
        Place((*path, "securityContext", "runAsNonRoot"), c.name)
        for c, path in containers(pod)
        if c.security_context.run_as_non_root is None
    ]
    names = [place.container for place in places]
    text = f"pod or {the_containers(names)} must set securityContext.runAsNonRoot=true"
    return breach(reason, text, places)


def check_user(pod: Pod, context: PodContext) -> Breach | None:
    """Refuse ``runAsUser: 0``."""
    if _is_relaxed(pod, context):
        return None
    found = [
        (name, Place((*path, "runAsUser"), name or "", "0"))
        for name, security, path in security_contexts(pod)
        if security.run_as_user == 0
    ]
    who = setters([name for name, _ in found])
    return breach("runAsUser=0", f"{who} must not set runAsUser=0", (place for _, place in found))


CONTROL: Final = (
    Control(
        name="runAsNonRoot",
        rule_id="pod/run-as-non-root",
        level=Level.RESTRICTED,
        kind=Kind.PRIVILEGE,
        severity=Severity.LOW,
        title="Nothing keeps a container from running as root",
        why="Whether it does is left to the image, and the next one may decide otherwise.",
        remedy="Set securityContext.runAsNonRoot of the pod to true, and a numeric USER in the image.",
        fields="`securityContext.runAsNonRoot` of the pod, or of every container: true; no container false",
        check=check_non_root,
        changed=_RELAXED,
    ),
    Control(
        name="runAsUser",
        rule_id="pod/run-as-user",
        level=Level.RESTRICTED,
        kind=Kind.PRIVILEGE,
        severity=Severity.MEDIUM,
        title="The pod asks to run as root",
        why="A process that is taken over has every right in the container and is one kernel flaw from the node.",
        remedy="Set runAsUser to a uid that is not 0, or remove it.",
        fields="`securityContext.runAsUser` of pod and containers: unset, not 0",
        check=check_user,
        changed=_RELAXED,
    ),
)
