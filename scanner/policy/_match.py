"""What a finding must be, compiled: what few findings differ in is decided once, the rest by small tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from scanner.model import Finding, Kind, Severity
from scanner.model.vulnerability import (
    FIXED_AT,
    FIXED_VERSION,
    KNOWN_EXPLOITED,
    PUBLISHED_AT,
    exploit_probability,
    parse_moment,
    vulnerability_ids,
)
from scanner.policy import _globs
from scanner.policy.document import LayerOrigin, Match


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What tests need besides the finding."""

    now: datetime
    base_layers_count: int


_REMEMBERED: Final = 8_192

Test: TypeAlias = Callable[[Finding, Circumstances], bool]
StaticTest: TypeAlias = Callable[[Kind, Severity, str], bool]


@dataclass(frozen=True, slots=True)
class CompiledMatch:
    """A match as two: by kind, severity and rule id, the same for many findings; and by the rest."""

    fits: StaticTest
    tests: tuple[Test, ...]

    def matches(self, finding: Finding, circumstances: Circumstances) -> bool:
        """Whether the finding is all that is asked."""
        return self.fits(finding.kind, finding.severity, finding.rule_id) and self.passes(
            finding, circumstances
        )

    def passes(self, finding: Finding, circumstances: Circumstances) -> bool:
        """Whether a finding that fits is all that is asked."""
        for test in self.tests:  # noqa: SIM110 - a third of the time of all() over a generator
            if not test(finding, circumstances):
                return False
        return True


def compile_match(match: Match) -> CompiledMatch:
    """Return the match, its globs compiled."""
    return CompiledMatch(fits=_static(match), tests=tuple(_tests(match)))


def _static(match: Match) -> StaticTest:
    kinds = frozenset(match.kinds or Kind)
    least = match.severity.rank if match.severity else 0
    severities = frozenset(s for s in Severity if s.rank >= least)
    named = _globs.matcher(match.rules) if match.rules else None

    def fits(kind: Kind, severity: Severity, rule_id: str) -> bool:
        return kind in kinds and severity in severities and (named is None or named(rule_id))

    return fits


def _tests(match: Match) -> Iterator[Test]:
    """Yield the tests that are asked for, the cheap ones first."""
    if match.fix_available is not None:
        yield _evidence(FIXED_VERSION, wanted=match.fix_available)
    if match.known_exploited is not None:
        yield _exploited(wanted=match.known_exploited)
    if match.layer is not None:
        yield _layer(match.layer)
    if match.deleted is not None:
        deleted = match.deleted
        yield lambda finding, _: finding.deleted_later is deleted
    if match.paths:
        of_path = _globs.matcher(match.paths)
        yield lambda finding, _: of_path(finding.path)
    if match.packages:
        of_package = lru_cache(maxsize=_REMEMBERED)(package_matcher(match.packages))
        yield lambda finding, _: of_package(finding.package)
    if match.ids:
        of_id = _globs.matcher(map(str.upper, match.ids))
        yield lambda finding, _: any(of_id(name.upper()) for name in vulnerability_ids(finding))
    if match.exploit_probability is not None:
        yield _probability(match.exploit_probability)
    if match.fix_age_days is not None:
        yield _fix_age(match.fix_age_days)


def _evidence(key: str, *, wanted: bool) -> Test:
    return lambda finding, _: bool(finding.evidence.get(key)) is wanted


def _exploited(*, wanted: bool) -> Test:
    return lambda finding, _: (finding.evidence.get(KNOWN_EXPLOITED) == "true") is wanted


def _layer(origin: LayerOrigin) -> Test:
    """A finding in no layer (the image's own settings) is the application's."""
    is_base = origin is LayerOrigin.BASE

    def test(finding: Finding, circumstances: Circumstances) -> bool:
        index = finding.layer_index
        return (index is not None and index < circumstances.base_layers_count) is is_base

    return test


def _probability(least: float) -> Test:
    def test(finding: Finding, _: Circumstances) -> bool:
        probability = exploit_probability(finding)
        return probability is not None and probability >= least

    return test


def _fix_age(days: float) -> Test:
    """A fix without any date is as old as it takes: what nobody knows must not pass for new."""
    age = timedelta(days=days)

    def test(finding: Finding, circumstances: Circumstances) -> bool:
        evidence = finding.evidence
        if not evidence.get(FIXED_VERSION):
            return False
        known_at = parse_moment(evidence.get(FIXED_AT, "")) or parse_moment(
            evidence.get(PUBLISHED_AT, "")
        )
        return known_at is None or circumstances.now - known_at >= age

    return test


def package_matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells whether a purl is meant: as it is, without qualifiers, or without version, too."""
    is_meant = _globs.matcher(globs)
    return lambda purl: bool(purl) and any(map(is_meant, purl_forms(purl)))


def purl_forms(purl: str) -> tuple[str, str, str]:
    """Return a purl as it is, without qualifiers and subpath, and without version."""
    bare = purl.partition("?")[0].partition("#")[0]
    head, at, _ = bare.rpartition("@")
    return purl, bare, head if at else bare
