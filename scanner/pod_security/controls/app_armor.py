"""AppArmor profiles, by field and by the annotation that was there before it.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
"""

from __future__ import annotations

import json
from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import (
    breach,
    forbidden_profiles,
    plural,
    quoted,
    security_contexts,
    setters,
)
from scanner.ports.control import Breach, Control, Level, Place, PodContext

_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"


def _is_allowed(value: str) -> bool:
    return value in {"", "runtime/default"} or value.startswith("localhost/")


def check(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse every profile but the runtime's and those of the node."""
    names, places = forbidden_profiles(
        (name, security.app_armor_profile, (*path, "appArmorProfile"))
        for name, security, path in security_contexts(pod)
    )
    annotations = {
        key: value
        for key, value in sorted(pod.metadata.annotations.items())
        if key.startswith(_ANNOTATION) and not _is_allowed(value)
    }
    who = [setters(names)] if names else []
    who += [plural("annotation", list(annotations))] if annotations else []
    values = sorted({place.value for place in places})
    values += [f"{key}={json.dumps(value)}" for key, value in annotations.items()]
    places += [
        Place(("metadata", "annotations", key), key.removeprefix(_ANNOTATION), value)
        for key, value in annotations.items()
    ]
    return breach(
        plural("forbidden AppArmor profile", values),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}",
        places,
    )


CONTROL: Final = Control(
    name="appArmorProfile",
    rule_id="pod/apparmor",
    level=Level.BASELINE,
    kind=Kind.PRIVILEGE,
    severity=Severity.MEDIUM,
    title="AppArmor is switched off, or an unknown profile chosen",
    why="The runtime's profile keeps a container from /proc and /sys files by which it leaves its bounds.",
    remedy="Remove the profile, or set RuntimeDefault or Localhost.",
    fields="`securityContext.appArmorProfile.type` of pod and containers: unset, RuntimeDefault, Localhost; annotation "
    f"`{_ANNOTATION}*`: empty, runtime/default, localhost/*",
    check=check,
)
