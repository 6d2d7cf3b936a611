"""Paths of the node that give the node away: sockets of container runtimes, and directories of the system.

Source: https://kubernetes.io/docs/concepts/storage/volumes/#hostpath
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach, quoted
from scanner.ports.control import Breach, Control, Level, Place, PodContext

_SOCKETS: Final = (
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/dockershim.sock",
    "/run/podman/podman.sock",
    "/run/buildkit/buildkitd.sock",
)
_WINDOWS_PIPES: Final = ("docker_engine", "containerd-containerd")
_RUN: Final = "/run"
_SYSTEM: Final = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/opt/cni",
    "/proc",
    "/root",
    "/run/dbus",
    "/run/systemd",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/lib/rancher",
)
"""What is below them counts too."""
_WHOLE: Final = frozenset({"/", "/opt", "/var", "/var/lib"})
"""What counts by itself, because such a directory is below it."""
_HARMLESS: Final = (
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/os-release",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/lib/modules",
    "/usr/lib/modules",
    "/usr/lib/os-release",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
)
"""What everybody may know, and what is below it."""


def node_path(path: str) -> str:
    """Return one spelling of a path of the node: without ``..``, ``//`` and the link ``/var/run``."""
    plain = posixpath.normpath("/" + path.lstrip("/"))
    if plain == "/var/run" or plain.startswith("/var/run/"):
        return plain.removeprefix("/var")
    return plain


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def is_runtime_socket(path: str) -> bool:
    """Say whether a path is a container runtime's socket, or a directory below /run that holds one."""
    if path.startswith("\\\\.\\pipe\\"):
        return path.rpartition("\\")[2] in _WINDOWS_PIPES
    plain = node_path(path)
    is_user_podman = plain.startswith("/run/user/") and plain.endswith("/podman.sock")
    return is_user_podman or (any(_is_below(socket, plain) for socket in _SOCKETS) and _is_below(plain, _RUN))  # fmt: skip


def is_system_path(path: str) -> bool:
    """Say whether a path holds the node's system, its secrets or its containers."""
    plain = node_path(path)
    if any(_is_below(plain, path) for path in _HARMLESS):
        return False
    return plain in _WHOLE or any(_is_below(plain, directory) for directory in _SYSTEM)


def _places(pod: Pod, is_bad: Callable[[str], bool]) -> list[Place]:
    places = []
    for number, volume in enumerate(pod.spec.volumes):
        source = volume.get("hostPath")
        path = source.get("path") if isinstance(source, dict) else None
        if isinstance(path, str) and is_bad(path):
            places.append(Place(("spec", "volumes", number, "hostPath"), value=path))
    return places


def check_sockets(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find sockets of container runtimes."""
    places = _places(pod, is_runtime_socket)
    return breach("container runtime socket", quoted(place.value for place in places), places)


def check_system(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find the node's system directories."""
    places = _places(pod, lambda path: is_system_path(path) and not is_runtime_socket(path))
    return breach("system directory of the node", quoted(p.value for p in places), places)


CONTROL: Final = (
    Control(
        name="runtimeSocket",
        rule_id="pod/runtime-socket",
        level=Level.PRIVILEGED,
        kind=Kind.PRIVILEGE,
        severity=Severity.HIGH,
        title="The pod is given the container runtime's socket",
        why="Who may speak to the runtime starts a privileged container with the node's disk: the pod is root on the node.",
        remedy="Remove the volume. Build images with a builder that needs no daemon; read metrics from the kubelet.",
        fields="`volumes[*].hostPath.path`: no socket of docker, containerd, CRI-O, podman, buildkit, nor a directory of one",
        check=check_sockets,
    ),
    Control(
        name="systemPath",
        rule_id="pod/system-path",
        level=Level.PRIVILEGED,
        kind=Kind.PRIVILEGE,
        severity=Severity.HIGH,
        title="A volume is a system directory of the node",
        why="There are the node's keys, programs, devices and containers: what reads them knows, what writes them is the node.",
        remedy="Remove the volume, or mount the one file that is needed, readOnly.",
        fields=f"`volumes[*].hostPath.path`: not {', '.join(sorted({*_SYSTEM, *_WHOLE}))}",
        check=check_system,
    ),
)
