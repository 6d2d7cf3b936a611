"""NuGet's versions: semantic ones with up to four numbers; case and build do not count.

Source: https://learn.microsoft.com/en-us/nuget/concepts/package-versioning
"""

from __future__ import annotations

from typing import Any, Final

from scanner.matching._semver import precedence
from scanner.ports.version import VersionScheme


def key(text: str) -> Any:
    """Return numbers and pre-release, words of any case alike."""
    return precedence(text.lower())


SCHEME: Final = VersionScheme("nuget", ("nuget",), key)
