"""Kernel parameters.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach
from scanner.ports.control import Breach, Control, Level, Place, PodContext

_SAFE: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    (
        0,
        (
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.ip_unprivileged_port_start",
            "net.ipv4.ping_group_range",
            "net.ipv4.tcp_syncookies",
        ),
    ),
    (27, ("net.ipv4.ip_local_reserved_ports",)),
    (
        29,
        (
            "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_keepalive_intvl",
            "net.ipv4.tcp_keepalive_probes",
            "net.ipv4.tcp_keepalive_time",
        ),
    ),
    (32, ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")),
    (37, ("net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_slow_start_after_idle")),
)
"""Parameters that concern their own pod only, by the minor version that allows them first."""


def check(pod: Pod, context: PodContext) -> Breach | None:
    """Refuse parameters that are not safe."""
    safe = {name for since, names in _SAFE if since <= context.minor for name in names}
    places = [
        Place(("spec", "securityContext", "sysctls", number, "name"), value=sysctl.name)
        for number, sysctl in enumerate(pod.spec.security_context.sysctls)
        if sysctl.name not in safe
    ]
    return breach("forbidden sysctls", ", ".join(place.value for place in places), places)


CONTROL: Final = Control(
    name="sysctls",
    rule_id="pod/sysctl",
    level=Level.BASELINE,
    kind=Kind.CONFIG,
    severity=Severity.MEDIUM,
    title="The pod sets a kernel parameter that is not safe",
    why="It may switch protections off, or concern every pod of the node.",
    remedy="Remove it from sysctls; set it on the node if it is needed.",
    fields=f"`securityContext.sysctls[*].name` of the pod: {', '.join(n for _, names in _SAFE for n in names)}",
    check=check,
    changed=tuple((since, f"{', '.join(names)} allowed") for since, names in _SAFE[1:]),
)
