"""Ports of the node.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import (
    breach,
    containers,
    once,
    plural,
    the_containers,
)
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def check(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse ``hostPort``."""
    places = [
        Place((*path, "ports", number, "hostPort"), c.name, str(port.host_port))
        for c, path in containers(pod)
        for number, port in enumerate(c.ports)
        if port.host_port
    ]
    names = once(place.container for place in places)
    ports = sorted({place.value for place in places})
    return breach(
        "hostPort",
        f"{the_containers(names)} {plural('uses', names, 'use')} {plural('hostPort', ports)} {', '.join(ports)}",
        places,
    )


CONTROL: Final = Control(
    name="hostPorts",
    rule_id="pod/host-port",
    level=Level.BASELINE,
    kind=Kind.CONFIG,
    severity=Severity.LOW,
    title="A container listens on a port of the node",
    why="The port is open on every network that the node is in, past network policies and Services.",
    remedy="Remove hostPort and expose the port by a Service.",
    fields="`ports[*].hostPort` of containers: unset, 0",
    check=check,
)
