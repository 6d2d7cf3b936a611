"""What a vector, or a number somebody worked out of one, says of how bad a vulnerability is."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from scanner.advisories.cvss import version2, version3, version4
from scanner.model.advisory import Score

_VECTORS: Final = {
    "CVSS_V4": version4.score,
    "CVSS_V3": version3.score,
    "CVSS_V2": version2.score,
}
_SUFFIX: Final = "_SCORE"
_MOST: Final = 10


@lru_cache(1 << 14)
def base_score(given: Score) -> float | None:
    """Return 0 to 10; None for a score of another kind, or one that is malformed."""
    if given.type.endswith(_SUFFIX) and given.type.removesuffix(_SUFFIX) in _VECTORS:
        try:
            number = float(given.value)
        except ValueError:
            return None
        return number if 0 <= number <= _MOST else None
    score = _VECTORS.get(given.type)
    return score(given.value) if score else None
