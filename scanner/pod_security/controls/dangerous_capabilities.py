"""Capabilities that are as good as root on the node, and looking into other containers.

Source: https://man7.org/linux/man-pages/man7/capabilities.7.html
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import (
    added_capabilities,
    breach,
    once,
    quoted,
    the_containers,
)
from scanner.ports.control import Breach, Control, Level, Place, PodContext

DANGEROUS: Final = frozenset(
    {
        "ALL",
        "BPF",
        "DAC_READ_SEARCH",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "NET_ADMIN",
        "PERFMON",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_TIME",
    }
)


def check_capabilities(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find them, however they are spelt."""
    places = [
        place
        for place in added_capabilities(pod, ())
        if place.value.upper().removeprefix("CAP_") in DANGEROUS
    ]
    names = once(place.container for place in places)
    values = sorted({place.value for place in places})
    return breach(
        "dangerous capabilities", f"{the_containers(names)} adds {quoted(values)}", places
    )


def check_processes(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find containers that see each other's processes."""
    shared = pod.spec.share_process_namespace
    place = Place(("spec", "shareProcessNamespace"), value="true")
    return breach(
        "shared process namespace", "pod sets shareProcessNamespace=true", [place] * shared
    )


CONTROL: Final = (
    Control(
        name="dangerousCapabilities",
        rule_id="pod/dangerous-capability",
        level=Level.PRIVILEGED,
        kind=Kind.PRIVILEGE,
        severity=Severity.HIGH,
        title="A container adds a capability that is a way to the node",
        why="With it a process loads kernel code, reads any file or memory, mounts disks or takes over other processes.",
        remedy="Remove it from capabilities.add; debug with an ephemeral container instead.",
        fields=f"`securityContext.capabilities.add` of containers: none of {', '.join(sorted(DANGEROUS))}",
        check=check_capabilities,
    ),
    Control(
        name="sharedProcessNamespace",
        rule_id="pod/shared-processes",
        level=Level.PRIVILEGED,
        kind=Kind.PRIVILEGE,
        severity=Severity.LOW,
        title="The containers of the pod see each other's processes",
        why="Each reads the others' environment and files by /proc, secrets included, and can signal or trace them.",
        remedy="Remove shareProcessNamespace.",
        fields="`shareProcessNamespace` of the pod: unset, false",
        check=check_processes,
    ),
)
