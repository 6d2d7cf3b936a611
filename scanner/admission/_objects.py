"""Images and pods in any Kubernetes object: wherever containers are listed, be its kind known or not.

Source: https://kubernetes.io/docs/concepts/workloads/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scanner.admission._read import malformed

_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_TEMPLATE: Final = ("spec", "template")
_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"),
        _TEMPLATE,
    ),
}
_GROUPS: Final = frozenset({"", "apps", "batch", "extensions"})
_APART: Final = frozenset({"metadata", "status", "managedFields"})
"""What the cluster says of an object, not what is wanted."""


def images_in(value: Any) -> Iterator[str]:
    """Yield the image of every container, and of every volume that is one.

    What has another form than Kubernetes' own is passed over: kinds that others made may list anything under a name
    of these. The pods that come of it are asked for themselves.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, dict):
            yield from _images_of(one)
            waiting += [inner for key, inner in reversed(one.items()) if key not in _APART]


def _images_of(table: Mapping[str, Any]) -> Iterator[str]:
    for key in _CONTAINERS:
        yield from _texts(_list(table, key), "image")
    if _list(table, "containers"):
        volumes = [v.get("image") for v in _list(table, "volumes") if isinstance(v, dict)]
        yield from _texts(volumes, "reference")


def _list(table: Mapping[str, Any], key: str) -> list[Any]:
    found = table.get(key)
    return found if isinstance(found, list) else []


def _texts(tables: list[Any], key: str) -> Iterator[str]:
    for table in tables:
        text = table.get(key) if isinstance(table, dict) else None
        if isinstance(text, str) and text:
            yield text


def pod_in(value: Mapping[str, Any], group: str, kind: str) -> Mapping[str, Any] | None:
    """Return the pod, or the template that pods are made of; None if there is none.

    Raises:
        MalformedEventError: an object of a kind that has one, without it.
    """
    known = _PATHS.get(kind) if group in _GROUPS else None
    if known is not None:
        pod = _at(value, known)
        if pod is None or not isinstance(pod.get("spec"), dict):
            raise malformed(f"{kind}: there is no {'.'.join((*known, 'spec'))}")
        return pod
    for path in (_TEMPLATE, _PATHS["CronJob"]):
        pod = _at(value, path)
        if (
            pod is not None
            and isinstance(_at(pod, ("spec",)), dict)
            and pod["spec"].get("containers")
        ):
            return pod
    return None


def _at(value: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any] | None:
    found: Any = value
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None
