"""What Kubernetes gives or allows a pod that asks for nothing.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/
and https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import breach, the_containers
from scanner.ports.control import Breach, Control, Level, Place, PodContext


def check_token(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find pods of the default account that are given its token."""
    spec = pod.spec
    is_default = spec.service_account_name in {"", "default"}
    needless = is_default and spec.automount_service_account_token is not False
    place = Place(("spec", "automountServiceAccountToken"))
    return breach("service account token", "pod is given the default account's", [place] * needless)


def check_memory(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Find containers without a limit of memory; those that only prepare are left out."""
    places = [
        Place(("spec", "containers", number, "resources", "limits"), c.name)
        for number, c in enumerate(pod.spec.containers)
        if "memory" not in c.resources.limits
    ]
    who = the_containers([place.container for place in places])
    return breach("no memory limit", f"{who} must set resources.limits.memory", places)


CONTROL: Final = (
    Control(
        name="serviceAccountToken",
        rule_id="pod/default-token",
        level=Level.PRIVILEGED,
        kind=Kind.CONFIG,
        severity=Severity.INFO,
        title="The pod is given a token for the cluster that it does not seem to need",
        why="It names no service account, so it asks nothing of the API; who takes it over can.",
        remedy="Set automountServiceAccountToken to false.",
        fields="`automountServiceAccountToken` of the pod: false, unless `serviceAccountName` names another than default",
        check=check_token,
    ),
    Control(
        name="memoryLimit",
        rule_id="pod/no-memory-limit",
        level=Level.PRIVILEGED,
        kind=Kind.CONFIG,
        severity=Severity.INFO,
        title="A container may use all memory of its node",
        why="One that leaks or is attacked takes its neighbours down.",
        remedy="Set resources.limits.memory.",
        fields="`resources.limits.memory` of `containers`: set",
        check=check_memory,
    ),
)
