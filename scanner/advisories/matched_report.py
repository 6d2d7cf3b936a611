"""An image's report with what is known of its packages today; the same function matches a stored report again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec

from scanner.advisories import lifecycle
from scanner.advisories.findings import RULE
from scanner.advisories.matcher import MATCHER, MatchCoverage, match
from scanner.model import Coverage, Finding, ImageReport, Kind, ScanState, Severity
from scanner.ports import AdvisoryLookup

_OURS: Final = (RULE, lifecycle.DISTRIBUTION_RULE, lifecycle.PROGRAM_RULE)

_RANKS: Final = {severity: severity.rank for severity in Severity}


def matched_report(
    image: ImageReport, lookup: AdvisoryLookup, today: date
) -> tuple[ImageReport, MatchCoverage]:
    """Return the report with vulnerabilities and ends of life in place of what an earlier match found.

    Its coverage no longer says that vulnerabilities were not looked for; what could not be matched is among the
    issues and makes it partial. A failed scan stays as it is. Raises what ``lookup`` raises.
    """
    if image.state is ScanState.FAILED:
        return image, MatchCoverage()
    matched = match(image.packages, image.distribution, lookup)
    ends = lifecycle.ended(image.distribution, image.packages, today)
    kept = [f for f in image.findings if not f.rule_id.startswith(_OURS)]
    steps = {layer.index: layer.build_step for layer in image.layers}
    added = (_with_step(f, steps) for f in (*matched.findings, *ends))
    coverage = _covered(image.coverage, matched.coverage)
    is_partial = bool(coverage.issues or coverage.limits)
    report = msgspec.structs.replace(
        image,
        findings=_sorted((*kept, *added)),
        coverage=coverage,
        state=ScanState.PARTIAL if is_partial else ScanState.COMPLETE,
    )
    return report, matched.coverage


def _covered(before: Coverage, matched: MatchCoverage) -> Coverage:
    issues = tuple(issue for issue in before.issues if issue.analyzer != MATCHER)
    others = tuple(kind for kind in before.not_looked_for if kind != Kind.VULNERABILITY)
    return msgspec.structs.replace(before, issues=issues + matched.issues, not_looked_for=others)


def _with_step(finding: Finding, steps: dict[int, str]) -> Finding:
    step = "" if finding.layer_index is None else steps.get(finding.layer_index, "")
    return msgspec.structs.replace(finding, build_step=step) if step else finding


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Order as every report does: the worst first."""
    return tuple(
        sorted(
            findings,
            key=lambda f: (-_RANKS[f.severity], f.kind, f.rule_id, f.path, f.line or 0, f.package),
        )
    )
