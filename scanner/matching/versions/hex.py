"""Hex's versions: semantic ones, as Elixir compares them.

Source: https://hexdocs.pm/elixir/Version.html
"""

from __future__ import annotations

from typing import Final

from scanner.matching._semver import precedence as key
from scanner.ports.version import VersionScheme

SCHEME: Final = VersionScheme("hex", ("hex",), key)
