"""Cargo's versions: semantic ones; where only the build differs they are the same.

Source: https://doc.rust-lang.org/cargo/reference/semver.html
"""

from __future__ import annotations

from typing import Final

from scanner.matching._semver import precedence as key
from scanner.ports.version import VersionScheme

SCHEME: Final = VersionScheme("cargo", ("cargo",), key)
