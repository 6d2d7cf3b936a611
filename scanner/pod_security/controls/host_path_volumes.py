"""Volumes: directories of the node, and types that reach past the cluster's own storage.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Any, Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach, plural, quoted
from scanner.ports.control import Breach, Control, Level, Place, PodContext

_ALLOWED: Final = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
_KNOWN: Final = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
]


def _name(volume: dict[str, Any]) -> str:
    name = volume.get("name")
    return name if isinstance(name, str) else ""


def check_host_path(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse ``hostPath``."""
    found = [(n, v) for n, v in enumerate(pod.spec.volumes) if v.get("hostPath") is not None]
    names = [_name(volume) for _, volume in found]
    return breach(
        "hostPath volumes",
        f"{plural('volume', names)} {quoted(names)}",
        (Place(("spec", "volumes", n, "hostPath"), value=_name(v)) for n, v in found),
    )


def _type(volume: dict[str, Any]) -> str:
    return next((name for name in _KNOWN if volume.get(name) is not None), "unknown")


def check_types(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse every type that is not one of those allowed, unknown ones included."""
    found = [
        (n, v)
        for n, v in enumerate(pod.spec.volumes)
        if not any(v.get(name) is not None for name in _ALLOWED)
    ]
    names = [_name(volume) for _, volume in found]
    types = sorted({_type(volume) for _, volume in found})
    return breach(
        "restricted volume types",
        f"{plural('volume', names)} {quoted(names)} {plural('uses', names, 'use')} "
        f"{plural('restricted volume type', types)} {quoted(types)}",
        (Place(("spec", "volumes", n, _type(v)), value=_name(v)) for n, v in found),
    )


CONTROL: Final = (
    Control(
        name="hostPathVolumes",
        rule_id="pod/host-path",
        level=Level.BASELINE,
        kind=Kind.PRIVILEGE,
        severity=Severity.MEDIUM,
        title="A volume is a directory of the node",
        why="What the pod writes there outlives it and is read by others; what it reads there is the node's.",
        remedy="Use a persistentVolumeClaim, an emptyDir or a configMap.",
        fields="`volumes[*].hostPath`: unset",
        check=check_host_path,
        replaced_by="restrictedVolumes",
    ),
    Control(
        name="restrictedVolumes",
        rule_id="pod/volume-type",
        level=Level.RESTRICTED,
        kind=Kind.CONFIG,
        severity=Severity.LOW,
        title="A volume is of a type that only administrators should set up",
        why="The pod names storage outside the cluster by itself, past what PersistentVolumes allow and account for.",
        remedy="Set the storage up as a PersistentVolume and use a persistentVolumeClaim.",
        fields=f"`volumes[*]`: {', '.join(sorted(_ALLOWED))}",
        check=check_types,
    ),
)
