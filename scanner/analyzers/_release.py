"""Read release files: shell-like assignments, and the one line of ``redhat-release`` and its kin.

Source: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
"""

from __future__ import annotations

import re
from typing import Final

from scanner.model import Distribution

_VALUE: Final = re.compile(
    r""" "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>[^']*)' | (?P<bare>(?:[^\s"'\\;]|\\.)*) """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ASSIGNED: Final = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_LINE: Final = re.compile(r"(?P<name>\D{2,100}?)(?: release)? (?P<version>\d[\w.]{0,40})")
_PRODUCTS: Final = {
    "CentOS": "centos",
    "Red Hat Enterprise Linux": "rhel",
    "Fedora": "fedora",
    "Oracle Linux": "ol",
    "Rocky Linux": "rocky",
    "AlmaLinux": "almalinux",
    "Amazon Linux": "amzn",
    "VMware Photon": "photon",
    "CBL-Mariner": "mariner",
    "Microsoft Azure Linux": "azurelinux",
}


def read_assignments(text: str) -> dict[str, str]:
    """Return ``KEY=value`` lines with quotes and escapes undone; the last of a key wins, as in a shell."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, rest = line.strip().partition("=")
        if equals and _ASSIGNED.match(key):
            found[key] = _unquoted(rest)
    return found


def _unquoted(text: str) -> str:
    match = _VALUE.match(text)
    if match is None:
        return ""
    if (single := match["single"]) is not None:
        return single
    quoted = match["double"] if match["double"] is not None else match["bare"]
    return _ESCAPE.sub(r"\1", quoted).strip()


def distribution_from_line(text: str, path: str) -> Distribution | None:
    """Return the distribution of ``CentOS Linux release 7.9.2009 (Core)``; None for other products."""
    line = text.partition("\n")[0].strip()
    match = _LINE.match(line)
    id_ = next((i for product, i in _PRODUCTS.items() if line.startswith(product)), "")
    if match is None or not id_:
        return None
    version = match["version"]
    if id_ != "centos":
        return Distribution(id=id_, version=version, name=line[:200], path=path)
    # CentOS names its major version only in VERSION_ID; the rest is the point release.
    major = version.partition(".")[0]
    return Distribution(id=id_, version=major, point_release=version, name=line[:200], path=path)
