"""Swift packages' versions: semantic ones, as tags of a repository.

Source: https://docs.swift.org/package-manager/PackageDescription/PackageDescription.html
"""

from __future__ import annotations

from typing import Final

from scanner.matching._semver import precedence as key
from scanner.ports.version import VersionScheme

SCHEME: Final = VersionScheme("swift", ("swift",), key)
