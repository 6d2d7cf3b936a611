"""Files that give privileges to whoever runs them: setuid, setgid and file capabilities.

Source: https://man7.org/linux/man-pages/man7/capabilities.7.html (``vfs_cap_data``: linux/capability.h)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from scanner.errors import MalformedFileError
from scanner.model import Finding, Kind, Severity
from scanner.model.report import FileIssue
from scanner.ports import Entry, EntryAnalyzer, Output

_NAME: Final = "config/setuid"
_SETUID: Final = 0o4000
_SETGID: Final = 0o2000
_OTHERS_WRITE: Final = 0o002
_GROUP_WRITE: Final = 0o020
_XATTR: Final = "security.capability"

_USUAL: Final = frozenset(
    [
        "su",
        "sudo",
        "passwd",
        "chsh",
        "chfn",
        "gpasswd",
        "newgrp",
        "mount",
        "umount",
        "ping",
        "ping6",
        "fusermount",
        "fusermount3",
        "pkexec",
        "newuidmap",
        "newgidmap",
        "unix_chkpwd",
        "unix_update",
        "chage",
        "expiry",
        "wall",
        "write",
        "write.ul",
        "bsd-write",
        "crontab",
        "ssh-agent",
        "ssh-keysign",
        "dbus-daemon-launch-helper",
        "polkit-agent-helper-1",
        "pam_timestamp_check",
        "doas",
        "bbsuid",
        "at",
        "locate",
        "mlocate",
        "plocate",
        "dotlockfile",
        "utempter",
        "postdrop",
        "postqueue",
        "screen",
        "chrome-sandbox",
        "Xorg.wrap",
        "userhelper",
        "usernetctl",
        "staprun",
        "mount.nfs",
        "mount.cifs",
        "sudoedit",
        "pt_chown",
        "ntfs-3g",
        "grub2-set-bootflag",
        "sg",
        "lockdev",
        "exim4",
        "sendmail",
        "arping",
        "traceroute6.iputils",
        "mtr-packet",
        "clockdiff",
        "camel-lock-helper-1.2",
    ]
)
"""Names that distributions install with these bits on purpose."""

_COMMANDS: Final = re.compile(
    r"(?:[a-z]{0,3}sh|busybox|python[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|php[\d.]*|lua[\d.]*|tclsh[\d.]*|"
    r"vi|vim[.a-z]*|nano|less|more|find|awk|gawk|mawk|gdb|strace|env|tar|cp|mv|dd|tee|cat|chmod|chown|"
    r"nmap|socat|docker|nsenter|unshare|chroot|capsh|make|gcc|rsync|wget|curl|xargs|sed|ed|openssl|"
    r".*\.(?:sh|py|pl|rb|php))\Z"
)
"""Shells, interpreters, scripts and tools that run or write whatever their user tells them to."""

_CAPABILITIES: Final = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
]
_ROOT_LIKE: Final = frozenset(
    [
        "chown",
        "dac_override",
        "dac_read_search",
        "fowner",
        "setgid",
        "setuid",
        "setpcap",
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_admin",
        "mknod",
        "setfcap",
        "mac_override",
        "mac_admin",
        "bpf",
        "perfmon",
        "net_admin",
    ]
)
"""From each of these there is a known way to root, or into other processes."""
_HARMLESS: Final = frozenset({"net_bind_service", "net_raw", "net_broadcast", "ipc_lock"})
_WORDS: Final = {0x01000000: 1, 0x02000000: 2, 0x03000000: 2}


def capabilities(value: bytes) -> tuple[str, ...]:
    """Return the names (``cap_net_raw``) a ``security.capability`` value permits or lets inherit.

    Raises:
        ValueError: not a version 1, 2 or 3 value.
    """
    if len(value) < struct.calcsize("<I"):
        raise ValueError("shorter than its version")
    words = _WORDS.get(struct.unpack_from("<I", value)[0] & 0xFF000000)
    if words is None or len(value) < 4 + 8 * words:
        raise ValueError("unknown version, or cut off")
    bits = 0
    for index in range(words):
        permitted, inheritable = struct.unpack_from("<II", value, 4 + 8 * index)
        bits |= (permitted | inheritable) << (32 * index)
    known = len(_CAPABILITIES)
    names = [f"cap_{name}" for n, name in enumerate(_CAPABILITIES) if bits >> n & 1]
    return (*names, *(f"cap_{n}" for n in range(known, 64) if bits >> n & 1))


def _mode_severity(entry: Entry, base_name: str) -> Severity:
    writable = entry.mode & (_OTHERS_WRITE | (_GROUP_WRITE if entry.gid else 0))
    if writable:
        return Severity.HIGH
    if base_name in _USUAL:
        return Severity.LOW
    if _COMMANDS.match(base_name):
        return Severity.HIGH
    return Severity.MEDIUM if entry.mode & _SETUID else Severity.LOW


def _mode_finding(entry: Entry) -> Finding:
    bit = "setuid" if entry.mode & _SETUID else "setgid"
    whose = f"user {entry.uid}" if bit == "setuid" else f"group {entry.gid}"
    return Finding(
        rule_id=f"privilege/{bit}-file",
        kind=Kind.PRIVILEGE,
        severity=_mode_severity(entry, entry.path.rpartition("/")[2]),
        title=f"File runs as {whose} whoever starts it ({bit})",
        why="A flaw in such a file turns any account of the container into its owner.",
        remedy=f"Remove the bit (chmod a-s /{entry.path}) or run with no-new-privileges.",
        path=entry.path,
        evidence={
            "cis": "4.8",
            "mode": f"{entry.mode:04o}",
            "uid": str(entry.uid),
            "gid": str(entry.gid),
        },
        identity=bit,
    )


def _capability_severity(names: tuple[str, ...], base_name: str) -> Severity:
    short = {n.removeprefix("cap_") for n in names}
    if short & _ROOT_LIKE:
        usual = short <= {"setuid", "setgid"} and base_name in _USUAL
        return Severity.LOW if usual else Severity.HIGH
    return Severity.LOW if short <= _HARMLESS else Severity.MEDIUM


def _capability_finding(entry: Entry, names: tuple[str, ...]) -> Finding:
    return Finding(
        rule_id="privilege/file-capability",
        kind=Kind.PRIVILEGE,
        severity=_capability_severity(names, entry.path.rpartition("/")[2]),
        title=f"File carries capabilities: {', '.join(names)}",
        why="Whoever runs the file gets these rights of root, as far as the container is given them.",
        remedy=f"Remove them (setcap -r /{entry.path}) or run with no-new-privileges.",
        path=entry.path,
        evidence={
            "cis": "4.8",
            "capabilities": ",".join(names),
            "ptrace": "yes" if "cap_sys_ptrace" in names else "no",
        },
        identity=",".join(names),
    )


def inspect(entry: Entry) -> Iterator[Output]:
    """Yield findings for a regular file (or another name of one) with such bits or capabilities."""
    if entry.type not in {"file", "hardlink"}:
        return
    if entry.mode & (_SETUID | _SETGID):
        yield _mode_finding(entry)
    value = entry.xattrs.get(_XATTR)
    if value is None:
        return
    try:
        names = capabilities(value)
    except ValueError as error:
        reason = f"{_XATTR}: {error}"
        yield FileIssue(
            path=entry.path, reason=reason, code=MalformedFileError.code, analyzer=_NAME
        )
        return
    if names:
        yield _capability_finding(entry, names)


ANALYZERS: Final = (
    EntryAnalyzer(
        name=_NAME,
        version=1,
        mode_bits=_SETUID | _SETGID,
        xattrs=(_XATTR,),
        inspect=inspect,
        summary="setuid and setgid files, file capabilities",
    ),
)
