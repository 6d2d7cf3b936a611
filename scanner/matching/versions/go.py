"""Go's versions: those of modules (``v1.2.3-0.2024…-abcdef``), and of the toolchain (``1.22rc1``).

A toolchain since 1.21 writes its last number always, so ``1.21`` is read as the release that older ones mean by it.

Source: https://go.dev/ref/mod#versions, https://go.dev/doc/toolchain#version
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.matching._semver import precedence
from scanner.ports.version import VersionScheme

_TOOLCHAIN: Final = re.compile(
    r"(?:go)?([1-9][0-9]*(?:\.[0-9]+){1,2})(?:(alpha|beta|rc)([0-9]+))?\Z"
)


def key(text: str) -> Any:
    """Return what compares as semantic versions do; ``1.22rc1`` is ``1.22.0-rc.1``."""
    match = _TOOLCHAIN.match(text)
    if match is None:
        return precedence(text)
    numbers, word, number = match.groups()
    return precedence(f"{numbers}-{word}.{number}" if word else numbers)


SCHEME: Final = VersionScheme("go", ("golang",), key)
