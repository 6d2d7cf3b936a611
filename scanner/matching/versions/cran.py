"""R's versions: numbers between dots or hyphens; ``1.0`` is before ``1.0.0``.

Source: https://stat.ethz.ch/R-manual/R-devel/library/base/html/numeric_version.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from scanner.ports.version import VersionScheme

_VERSION: Final = re.compile(r"[0-9]+(?:[.-][0-9]+)*\Z")


def key(text: str) -> Any:
    """Return the numbers."""
    return tuple(map(int, re.split(r"[.-]", text))) if _VERSION.match(text) else None


SCHEME: Final = VersionScheme("cran", ("cran", "bioconductor"), key)
