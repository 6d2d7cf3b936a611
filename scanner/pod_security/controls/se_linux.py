"""SELinux labels.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import (
    breach,
    plural,
    quoted,
    security_contexts,
    setters,
)
from scanner.ports.control import Breach, Control, Level, Place, PodContext

_TYPES: Final = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_ENGINE_TYPE: Final = "container_engine_t"
_ENGINE_SINCE: Final = 31


def check(pod: Pod, context: PodContext) -> Breach | None:
    """Refuse types that are not for containers, and every user and role."""
    types = _TYPES | {_ENGINE_TYPE} if context.minor >= _ENGINE_SINCE else _TYPES
    found: list[tuple[str | None, Place]] = []
    for name, security, path in security_contexts(pod):
        options = security.se_linux_options
        bad = {
            "type": options.type if options.type not in types else "",
            "user": options.user,
            "role": options.role,
        }
        for key, value in bad.items():
            if value:
                found.append((name, Place((*path, "seLinuxOptions", key), name or "", value)))
    return breach("seLinuxOptions", _text(found), (place for _, place in found))


def _text(found: list[tuple[str | None, Place]]) -> str:
    keys = {place.path[-1] for _, place in found}
    types = sorted({place.value for _, place in found if place.path[-1] == "type"})
    texts = [f"{plural('type', types)} {quoted(types)}"] if types else []
    texts += [f"{key} may not be set" for key in ("user", "role") if key in keys]
    who = setters(list(dict.fromkeys(name for name, _ in found)))
    return f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(texts)}"


CONTROL: Final = Control(
    name="seLinuxOptions",
    rule_id="pod/selinux",
    level=Level.BASELINE,
    kind=Kind.PRIVILEGE,
    severity=Severity.MEDIUM,
    title="The SELinux label is not one for containers",
    why="With another type, user or role SELinux does not hold the container back, or not as a container.",
    remedy="Remove seLinuxOptions, or use one of the types for containers.",
    fields="`securityContext.seLinuxOptions` of pod and containers: `type` empty, container_t, container_init_t, "
    "container_kvm_t, container_engine_t; `user` and `role` empty",
    check=check,
    changed=((_ENGINE_SINCE, "container_engine_t is allowed"),),
)
