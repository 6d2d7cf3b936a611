"""Linux capabilities.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Final

from scanner.model import Kind, Severity
from scanner.model.pod import Pod
from scanner.pod_security.controls._shared import (
    added_capabilities,
    breach,
    containers,
    once,
    quoted,
    the_containers,
)
from scanner.ports.control import Breach, Control, Level, Place, PodContext

_WORDS: Final = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP "
    "SETUID SYS_CHROOT"
)
DEFAULT: Final = frozenset(_WORDS.split())
"""What container runtimes give by default, without NET_RAW."""
_RESTRICTED: Final = frozenset({"NET_BIND_SERVICE"})


def _text(places: list[Place]) -> str:
    names = once(place.container for place in places)
    values = sorted({place.value for place in places})
    return f"{the_containers(names)} must not include {quoted(values)} in securityContext.capabilities.add"


def check_baseline(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Refuse what is not in the default set."""
    places = added_capabilities(pod, DEFAULT)
    return breach("non-default capabilities", _text(places), places)


def check_restricted(pod: Pod, context: PodContext) -> Breach | None:  # noqa: ARG001
    """Ask for ``drop: [ALL]``, and refuse all but NET_BIND_SERVICE. Not for Windows."""
    if pod.is_windows:
        return None
    kept = [
        Place((*path, "securityContext", "capabilities", "drop"), c.name)
        for c, path in containers(pod)
        if "ALL" not in c.security_context.capabilities.drop
    ]
    extra = added_capabilities(pod, _RESTRICTED)
    texts = []
    if kept:
        names = [place.container for place in kept]
        texts.append(f'{the_containers(names)} must set securityContext.capabilities.drop=["ALL"]')
    if extra:
        texts.append(_text(extra))
    return breach("unrestricted capabilities", "; ".join(texts), (*kept, *extra))


CONTROL: Final = (
    Control(
        name="capabilities_baseline",
        rule_id="pod/capability",
        level=Level.BASELINE,
        kind=Kind.PRIVILEGE,
        severity=Severity.MEDIUM,
        title="A container adds a capability beyond the default ones",
        why="A capability is a part of root's power; those beyond the default set reach past the container.",
        remedy="Remove it from capabilities.add.",
        fields=f"`securityContext.capabilities.add` of containers: {', '.join(sorted(DEFAULT))}",
        check=check_baseline,
        replaced_by="capabilities_restricted",
    ),
    Control(
        name="capabilities_restricted",
        rule_id="pod/capabilities-kept",
        level=Level.RESTRICTED,
        kind=Kind.PRIVILEGE,
        severity=Severity.LOW,
        title="A container keeps capabilities that it does not name as needed",
        why="The default set lets a process that is taken over change owners, bypass file modes and forge packets.",
        remedy="Set capabilities.drop to [ALL]; add only NET_BIND_SERVICE, and only if a port below 1024 is needed.",
        fields="`securityContext.capabilities` of containers: `drop` has ALL, `add` at most NET_BIND_SERVICE; "
        "not for `os.name: windows`",
        check=check_restricted,
    ),
)
