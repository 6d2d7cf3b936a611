"""Seccomp profiles.

The annotations of old are not looked at: since 1.25, the oldest version here, Kubernetes does not either.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import (
    ALLOWED_PROFILES,
    breach,
    containers,
    forbidden_profiles,
    quoted,
    security_contexts,
    setters,
    the_containers,
)
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def check_baseline(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse every profile but the runtime's and those of the node."""
    names, places = forbidden_profiles(
        (name, security.seccomp_profile, (*path, "seccompProfile"))
        for name, security, path in security_contexts(pod)
    )
    values = sorted({place.value for place in places})
    return breach(
        "seccompProfile",
        f"{setters(names)} must not set securityContext.seccompProfile.type to {quoted(values)}",
        places,
    )


def check_restricted(pod: Pod, context: PodContext) -> Breach | None:
    """Ask for a profile, the pod's or each container's own. Not for Windows."""
    if pod.is_windows:
        return None
    if forbidden := check_baseline(pod, context):
        return forbidden
    of_pod = pod.spec.security_context.seccomp_profile
    if of_pod is not None and of_pod.type in ALLOWED_PROFILES:
        return None
    places = [
        Place((*path, "securityContext", "seccompProfile"), c.name)
        for c, path in containers(pod)
        if c.security_context.seccomp_profile is None
    ]
    who = the_containers([place.container for place in places])
    return breach(
        "seccompProfile",
        f'pod or {who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
        places,
    )


CONTROL: Final = (
    Control(
        name="seccompProfile_baseline",
        rule_id="pod/seccomp-unconfined",
        level=Level.BASELINE,
        kind=Kind.PRIVILEGE,
        severity=Severity.MEDIUM,
        title="Seccomp is switched off",
        why="Unconfined, every system call is open, those included by which containers are left through kernel flaws.",
        remedy="Set seccompProfile.type to RuntimeDefault.",
        fields="`securityContext.seccompProfile.type` of pod and containers: unset, RuntimeDefault, Localhost",
        check=check_baseline,
        replaced_by="seccompProfile_restricted",
    ),
    Control(
        name="seccompProfile_restricted",
        rule_id="pod/seccomp-unset",
        level=Level.RESTRICTED,
        kind=Kind.PRIVILEGE,
        severity=Severity.LOW,
        title="No seccomp profile is set",
        why="Unless the node's kubelet says otherwise, a container without a profile runs unconfined.",
        remedy="Set securityContext.seccompProfile.type of the pod to RuntimeDefault.",
        fields="`securityContext.seccompProfile.type` of the pod, or of every container: RuntimeDefault, Localhost; "
        "not for `os.name: windows`",
        check=check_restricted,
        always_told=True,
    ),
)
