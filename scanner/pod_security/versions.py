"""Versions of the Pod Security Standards: those of Kubernetes.

Source: https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

import re
from typing import Final

from scanner.errors import SettingsError

OLDEST: Final = 25
NEWEST: Final = 37
"""Minor version whose rules are the newest known here; they count for later ones too, as in Kubernetes itself."""
LATEST: Final = "latest"
_VERSION: Final = re.compile(r"v?1\.([0-9]{1,3})\Z")


def parse_version(text: str) -> int:
    """Return the minor version of ``latest``, ``v1.29`` or ``1.29``.

    Raises:
        SettingsError: none of them, or older than v1.25.
    """
    if text == LATEST:
        return NEWEST
    match = _VERSION.match(text)
    if not match or int(match[1]) < OLDEST:
        raise SettingsError("version", f"{text[:40]!r} is not latest, nor v1.{OLDEST} or newer")
    return min(int(match[1]), NEWEST)


def version_text(minor: int) -> str:
    """Return ``v1.29``."""
    return f"v1.{minor}"
