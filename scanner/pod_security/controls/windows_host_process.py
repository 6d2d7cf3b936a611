"""Windows HostProcess containers.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach, security_contexts, setters
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def check(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse ``hostProcess: true``."""
    found = [
        (name, Place((*path, "windowsOptions", "hostProcess"), name or "", "true"))
        for name, security, path in security_contexts(pod)
        if security.windows_options.host_process
    ]
    who = setters([name for name, _ in found])
    return breach(
        "hostProcess",
        f"{who} must not set securityContext.windowsOptions.hostProcess=true",
        (place for _, place in found),
    )


CONTROL: Final = Control(
    name="windowsHostProcess",
    rule_id="pod/host-process",
    level=Level.BASELINE,
    kind=Kind.PRIVILEGE,
    severity=Severity.HIGH,
    title="A Windows container runs as a process of the node",
    why="A HostProcess container is not contained: it has the node's file system, network and accounts.",
    remedy="Remove windowsOptions.hostProcess.",
    fields="`securityContext.windowsOptions.hostProcess` of pod and containers: unset, false",
    check=check,
)
