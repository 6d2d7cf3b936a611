"""setuid, setgid and file capabilities."""

from __future__ import annotations

import struct

import pytest

from scanner.analyzers.config.setuid import ANALYZERS, capabilities
from scanner.model import FileIssue, Severity
from scanner.ports import Entry

(SETUID,) = ANALYZERS
NET_BIND, NET_RAW, SETUID_CAP, PTRACE, ADMIN, NICE = 10, 13, 7, 19, 21, 23


def vfs(*numbers, version=2, inheritable=0):
    words = {1: 1, 2: 2, 3: 2}[version]
    bits = sum(1 << n for n in numbers)
    body = b"".join(
        struct.pack("<II", bits >> (32 * i) & 0xFFFFFFFF, inheritable) for i in range(words)
    )
    return struct.pack("<I", version << 24 | 1) + body + (b"\0\0\0\0" if version == 3 else b"")


def entry(path, mode=0o755, *, kind="file", uid=0, gid=0, xattr=None):
    xattrs = {} if xattr is None else {"security.capability": xattr}
    return Entry(path=path, type=kind, mode=mode, uid=uid, gid=gid, size=1, xattrs=xattrs)


@pytest.mark.parametrize(
    ("one", "want"),
    [
        pytest.param(entry("usr/bin/su", 0o4755), [("privilege/setuid-file", Severity.LOW)], id="su"),
        pytest.param(entry("usr/bin/chsh", 0o4755), [("privilege/setuid-file", Severity.LOW)], id="chsh_is_no_shell"),
        pytest.param(entry("opt/tool", 0o4755), [("privilege/setuid-file", Severity.MEDIUM)], id="unknown"),
        pytest.param(entry("opt/tool", 0o4777), [("privilege/setuid-file", Severity.HIGH)], id="writable"),
        pytest.param(entry("opt/tool", 0o4775, gid=5), [("privilege/setuid-file", Severity.HIGH)], id="group_writable"),
        pytest.param(entry("bin/bash", 0o4755), [("privilege/setuid-file", Severity.HIGH)], id="shell"),
        pytest.param(entry("usr/bin/python3.11", 0o4755), [("privilege/setuid-file", Severity.HIGH)], id="interpreter"),
        pytest.param(entry("run.sh", 0o4755), [("privilege/setuid-file", Severity.HIGH)], id="script"),
        pytest.param(entry("usr/bin/chage", 0o2755, gid=42), [("privilege/setgid-file", Severity.LOW)], id="setgid"),
        pytest.param(entry("other/name", 0o4755, kind="hardlink"), [("privilege/setuid-file", Severity.MEDIUM)], id="hardlink"),
        pytest.param(entry("var/mail", 0o2775, kind="directory"), [], id="directory"),
        pytest.param(entry("link", 0o6777, kind="symlink"), [], id="symlink"),
        pytest.param(entry("bin/ping", xattr=vfs(NET_RAW)), [("privilege/file-capability", Severity.LOW)], id="ping"),
        pytest.param(entry("app", xattr=vfs(NET_BIND, version=3)), [("privilege/file-capability", Severity.LOW)], id="bind"),
        pytest.param(entry("app", xattr=vfs(NICE)), [("privilege/file-capability", Severity.MEDIUM)], id="nice"),
        pytest.param(entry("app", xattr=vfs(PTRACE)), [("privilege/file-capability", Severity.HIGH)], id="ptrace"),
        pytest.param(entry("usr/bin/newuidmap", xattr=vfs(SETUID_CAP)), [("privilege/file-capability", Severity.LOW)], id="newuidmap"),
        pytest.param(entry("usr/bin/python3", xattr=vfs(SETUID_CAP)), [("privilege/file-capability", Severity.HIGH)], id="setuid_capability"),
        pytest.param(entry("app", xattr=vfs()), [], id="no_capability"),
        pytest.param(entry("app", 0o4755, xattr=vfs(ADMIN)), [("privilege/setuid-file", Severity.MEDIUM), ("privilege/file-capability", Severity.HIGH)], id="both"),
    ],
)  # fmt: skip
def test_inspect(one, want):
    assert [(f.rule_id, f.severity) for f in SETUID.inspect(one)] == want


def test_ptrace_is_told_by_name():
    (found,) = SETUID.inspect(entry("app", xattr=vfs(PTRACE)))
    assert found.evidence == {"cis": "4.8", "capabilities": "cap_sys_ptrace", "ptrace": "yes"}


@pytest.mark.parametrize(
    ("value", "want"),
    [
        pytest.param(vfs(0, 5, version=1), ("cap_chown", "cap_kill"), id="version_1"),
        pytest.param(vfs(NET_RAW, 39), ("cap_net_raw", "cap_bpf"), id="version_2"),
        pytest.param(vfs(40, 60, version=3), ("cap_checkpoint_restore", "cap_60"), id="version_3"),
        pytest.param(vfs(inheritable=1, version=1), ("cap_chown",), id="inheritable"),
    ],
)
def test_capabilities(value, want):
    assert capabilities(value) == want


@pytest.mark.parametrize(
    "value",
    [b"", b"\0", b"\0\0\0\x09" + b"\0" * 20, vfs(1)[:-1], b"\xff" * 3],
    ids=["empty", "short", "version", "cut_off", "noise"],
)
def test_bad_capability_is_an_issue(value):
    (issue,) = SETUID.inspect(entry("app", xattr=value))
    assert isinstance(issue, FileIssue)
    assert (issue.path, issue.code) == ("app", "malformed-file")
