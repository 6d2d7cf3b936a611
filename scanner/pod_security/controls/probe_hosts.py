"""Probes and lifecycle hooks that go elsewhere than to their own pod.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Container, Handler, Pod
from scanner.pod_security.controls._shared import (
    breach,
    containers,
    plural,
    quoted,
    the_containers,
)
from scanner.ports.control import Breach, Control, FieldPath, Level, Place, PodContext

_SINCE: Final = 34


def _handlers(container: Container) -> Iterator[tuple[FieldPath, Handler]]:
    yield ("livenessProbe",), container.liveness_probe
    yield ("readinessProbe",), container.readiness_probe
    yield ("startupProbe",), container.startup_probe
    yield ("lifecycle", "postStart"), container.lifecycle.post_start
    yield ("lifecycle", "preStop"), container.lifecycle.pre_stop


def check(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse a ``host`` of its own."""
    places = [
        Place((*path, *where, name, "host"), c.name, target.host)
        for c, path in containers(pod)
        for where, handler in _handlers(c)
        for name, target in (("httpGet", handler.http_get), ("tcpSocket", handler.tcp_socket))
        if target.host
    ]
    names = sorted({place.container for place in places})
    hosts = sorted({place.value for place in places})
    return breach(
        "probe or lifecycle host",
        f"{the_containers(names)} {plural('uses', names, 'use')} "
        f"{plural('probe or lifecycle host', hosts)} {quoted(hosts)}",
        places,
    )


CONTROL: Final = Control(
    name="hostProbesAndHostLifecycle",
    rule_id="pod/probe-host",
    level=Level.BASELINE,
    kind=Kind.CONFIG,
    severity=Severity.LOW,
    title="A probe or lifecycle hook goes to a host of its own choice",
    why="The node's kubelet makes the request: a pod can reach what only nodes may, blindly.",
    remedy="Remove host; the request then goes to the pod.",
    fields="`host` of `httpGet` and `tcpSocket` in `livenessProbe`, `readinessProbe`, `startupProbe`, "
    "`lifecycle.postStart`, `lifecycle.preStop` of containers: unset, empty",
    check=check,
    since=_SINCE,
)
