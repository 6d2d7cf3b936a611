"""What a version scheme is: how the versions of some ecosystems follow on each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

VERSION_LENGTH: Final = 256
"""Longer texts are no versions; callers check."""


@dataclass(frozen=True, slots=True)
class VersionScheme:
    """One order of versions. A leaf below ``scanner.matching.versions`` exports ``SCHEME`` and is found by walking.

    ``key`` returns something that compares with what it returns for other versions of the scheme, equal where they
    are equal, or None if the text is no version of it. It never raises.
    """

    name: str
    purl_types: tuple[str, ...]
    key: Callable[[str], Any]
