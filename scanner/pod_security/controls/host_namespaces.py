"""Namespaces of the node.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def check(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse the node's network, process ids and IPC."""
    spec = pod.spec
    shared = {"hostIPC": spec.host_ipc, "hostNetwork": spec.host_network, "hostPID": spec.host_pid}
    names = [name for name, is_shared in shared.items() if is_shared]
    return breach(
        "host namespaces", ", ".join(names), (Place(("spec", n), value="true") for n in names)
    )


CONTROL: Final = Control(
    name="hostNamespaces",
    rule_id="pod/host-namespace",
    level=Level.BASELINE,
    kind=Kind.PRIVILEGE,
    severity=Severity.HIGH,
    title="The pod shares a namespace with the node",
    why="It sees the node's processes, memory or network: their environment, their sockets on localhost, other pods' traffic.",
    remedy="Remove hostPID, hostIPC and hostNetwork; expose ports by a Service.",
    fields="`hostNetwork`, `hostPID`, `hostIPC` of the pod: unset, false",
    check=check,
)
