"""npm's versions: semantic ones, also with a ``v`` in front or fewer numbers.

Source: https://github.com/npm/node-semver
"""

from __future__ import annotations

from typing import Final

from scanner.matching._semver import precedence as key
from scanner.ports.version import VersionScheme

SCHEME: Final = VersionScheme("semver", ("npm",), key)
