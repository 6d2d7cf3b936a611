"""How bad a vulnerability is, and who says so: the distribution first, then the ecosystem, then CVSS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from scanner.advisories.cvss import base_score
from scanner.model import Severity
from scanner.model.advisory import Score

_RATINGS: Final = {
    "critical": Severity.CRITICAL,
    "important": Severity.HIGH,
    "high": Severity.HIGH,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "minor": Severity.LOW,
    "negligible": Severity.INFO,
    "unimportant": Severity.INFO,
}
"""What writers call it; other words (``not yet assigned``, ``untriaged``) are none."""
_RANKS: Final = {one: one.rank for one in Severity}
_INFORMATIONAL: Final = {"unsound": Severity.LOW}
_BANDS: Final = (
    (9.0, Severity.CRITICAL),
    (7.0, Severity.HIGH),
    (4.0, Severity.MEDIUM),
    (0.1, Severity.LOW),
)
_VERSIONS: Final = ("CVSS_V4", "CVSS_V3", "CVSS_V2")
"""The newest first."""
_MALICIOUS: Final = "MAL-"
UNRATED: Final = "unrated"


class Rating(NamedTuple):
    """A severity and its source."""

    severity: Severity
    source: str
    vector: str = ""
    """Of the newest CVSS version that somebody gave."""


class Said(NamedTuple):
    """What one record says."""

    id: str
    where: str
    """The ecosystem that the record is of."""
    rating: str
    scores: Sequence[Score]
    informational: str = ""


def rate(said: Sequence[Said], more: Iterable[Score] = ()) -> Rating:
    """Return the severity that counts; what nobody rated is medium, and said to be unrated."""
    scores = [score for one in said for score in one.scores] + list(more)
    vector = _newest_vector(scores)
    if any(one.id.startswith(_MALICIOUS) for one in said):
        return Rating(Severity.CRITICAL, "malicious package", vector)
    rated = [(found, one) for one in said if (found := severity_of(one.rating)) is not None]
    if rated:
        severity, one = max(rated, key=lambda pair: _RANKS[pair[0]])
        return Rating(severity, f"{one.where}: {one.rating.lower()}", vector)
    scored = _by_score(scores)
    if scored is not None:
        return Rating(*scored, vector)
    word = next((one.informational for one in said if one.informational), "")
    if word:
        return Rating(_INFORMATIONAL.get(word, Severity.INFO), word, vector)
    return Rating(Severity.MEDIUM, UNRATED, vector)


def severity_of(rating: str) -> Severity | None:
    """Return what a writer's word means; None if it is no severity."""
    return _RATINGS.get(rating.lower().rstrip("*").strip()) if rating else None


def _by_score(scores: Iterable[Score]) -> tuple[Severity, str] | None:
    """Return severity and ``CVSS_V3 9.8`` by the newest version of CVSS, of several scores the highest."""
    by_version: dict[str, float] = {}
    for one in scores:
        value = base_score(one)
        version = one.type.removesuffix("_SCORE")
        if value is not None:
            by_version[version] = max(value, by_version.get(version, 0.0))
    version = next((v for v in _VERSIONS if v in by_version), "")
    if not version:
        return None
    value = by_version[version]
    return _banded(value, version), f"{version} {value:.1f}"


def _banded(value: float, version: str) -> Severity:
    severity = next((s for least, s in _BANDS if value >= least), Severity.INFO)
    if version == _VERSIONS[-1] and severity is Severity.CRITICAL:
        return Severity.HIGH  # CVSS 2 knows nothing above
    return severity


def _newest_vector(scores: Iterable[Score]) -> str:
    vectors = {one.type: one.value for one in scores}
    return next((vectors[version] for version in _VERSIONS if version in vectors), "")
