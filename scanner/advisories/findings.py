"""From the records that matched a package to one finding for each vulnerability."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from scanner.advisories.aliases import Vulnerability
from scanner.advisories.severity import Rating, Said, rate
from scanner.model import Finding, Kind, Package, Severity, vulnerability
from scanner.model.advisory import Advisory, Affected, Enrichment, FixState, Score

_SUMMARY_LENGTH: Final = 200
_WHY_LENGTH: Final = 1_000
_MALICIOUS: Final = "MAL-"
_CVE: Final = "CVE-"
_ERRATUM: Final = re.compile(
    r"(?:DSA|DLA|AL[SBE]A|RL[SBE]A|RH[SBE]A|ELSA|ALAS\d*|USN|MGASA|(?:open)?SUSE-\w+)-"
)
"""Ids of what distributions publish together with a fix."""
_GO_PROGRAMS: Final = frozenset({"stdlib", "toolchain", "cmd"})
RULE: Final = "vulnerability/"


class Hit(NamedTuple):
    """A record that says a package is affected."""

    advisory: Advisory
    affected: Affected
    fixed_version: str
    installed_version: str
    last_affected: str = ""
    by_subscription: bool = False
    """The fix is for those who pay for it, and this image has none of those builds."""


class Fix(NamedTuple):
    """What can be done."""

    state: FixState
    version: str = ""
    fixed_at: str = ""
    last_affected: str = ""
    """Where no fixed version is named, the version after which it is gone."""
    by_subscription: str = ""
    """A version that only a subscription gives."""


class Assessment(NamedTuple):
    """One vulnerability as it is for every package that is built from the same source."""

    found: Vulnerability
    severity: Severity
    title: str
    why: str
    fix: Fix
    evidence: dict[str, str]


def assess(
    found: Vulnerability,
    hits: Sequence[Hit],
    enrichment_of: Callable[[str], Enrichment],
    key: Callable[[str], Any],
) -> Assessment:
    """Return what the records that speak of a vulnerability, and others, say of it together."""
    enriched = [enrichment_of(one) for one in found.ids if one.startswith(_CVE)]
    rating = rate([_said(hit) for hit in hits], _more_scores(enriched))
    fix = _fix(hits, key)
    evidence = _evidence(found, hits, fix, rating, enriched)
    return Assessment(found, rating.severity, _title(found.ids[0], hits), _why(hits), fix, evidence)


def finding_of(package: Package, purl: str, assessed: Assessment) -> Finding:
    """Return the finding of a vulnerability in one package."""
    return Finding(
        rule_id=f"{RULE}{assessed.found.ids[0]}",
        kind=Kind.VULNERABILITY,
        severity=assessed.severity,
        title=assessed.title,
        why=assessed.why,
        remedy=_remedy(package, assessed.fix, assessed.found),
        path=package.path,
        package=purl,
        evidence=assessed.evidence,
        layer=package.layer,
        layer_index=package.layer_index,
    )


def _said(hit: Hit) -> Said:
    one = hit.affected
    return Said(
        hit.advisory.id,
        one.ecosystem,
        one.rating or hit.advisory.rating,
        one.scores or hit.advisory.scores,
        hit.advisory.informational,
    )


def _more_scores(enriched: Sequence[Enrichment]) -> tuple[Score, ...]:
    return tuple(score for one in enriched for score in one.scores)


def _fix(hits: Sequence[Hit], key: Callable[[str], Any]) -> Fix:
    """Return the version without it by every record that names one: the latest of theirs."""
    fixed = [hit for hit in hits if hit.fixed_version and not hit.by_subscription]
    if fixed:
        version = max((hit.fixed_version for hit in fixed), key=key)
        return Fix(FixState.FIXED, version, _fixed_at(hit for hit in fixed if hit.fixed_version == version))  # fmt: skip
    ended = [hit.last_affected for hit in hits if hit.last_affected]
    if len(ended) == len(hits):
        return Fix(FixState.FIXED, last_affected=max(ended, key=key))
    paid = next((hit.fixed_version for hit in hits if hit.by_subscription), "")
    states = {hit.affected.state for hit in hits}
    if paid or FixState.WILL_NOT_FIX in states:
        return Fix(FixState.WILL_NOT_FIX, by_subscription=paid)
    only = states == {FixState.UNDER_INVESTIGATION}
    return Fix(FixState.UNDER_INVESTIGATION if only else FixState.NOT_FIXED)


def _fixed_at(hits: Iterable[Hit]) -> str:
    """Return the first moment at which the fix was out; an erratum comes out with it."""
    moments = (
        hit.affected.fixed_at or (hit.advisory.published if _ERRATUM.match(hit.advisory.id) else "")
        for hit in hits
    )
    return min(filter(None, moments), default="")


def _title(main: str, hits: Sequence[Hit]) -> str:
    summary = next((h.advisory.summary for h in hits if h.advisory.summary), "")
    text = summary or f"{main} in {hits[0].affected.name}"
    return text if len(text) <= _SUMMARY_LENGTH else f"{text[: _SUMMARY_LENGTH - 1]}…"


def _why(hits: Sequence[Hit]) -> str:
    text = next((h.advisory.details for h in hits if h.advisory.details), "").strip()
    if not text:
        return "This version has a known vulnerability."
    return text if len(text) <= _WHY_LENGTH else f"{text[: _WHY_LENGTH - 1]}…"


def _remedy(package: Package, fix: Fix, found: Vulnerability) -> str:
    name = package.name
    if any(one.startswith(_MALICIOUS) for one in found.ids):
        return f"Remove {name}: it was published to do harm. Take every secret it could read for stolen."
    if fix.last_affected:
        return f"Upgrade {name} to a version after {fix.last_affected}."
    if package.purl_type == "golang" and name in _GO_PROGRAMS and fix.version:
        return f"Rebuild with Go {fix.version} or later."
    if fix.state is FixState.FIXED:
        return f"Upgrade {name} to {fix.version} or later."
    if fix.by_subscription:
        return f"Only a subscription gives the fix, {fix.by_subscription}; or move to a release that is still maintained."
    if fix.state is FixState.WILL_NOT_FIX:
        return f"No fix will come for {name} in this release: remove it, or move to a release that has one."
    if fix.state is FixState.UNDER_INVESTIGATION:
        return f"It is still being found out whether {name} is affected: watch for an update."
    return f"No fix is out for {name} yet: remove it if nothing needs it, and watch for an update."


def _evidence(
    found: Vulnerability,
    hits: Sequence[Hit],
    fix: Fix,
    rating: Rating,
    enriched: Sequence[Enrichment],
) -> dict[str, str]:
    probabilities = [e.exploit_probability for e in enriched if e.exploit_probability is not None]
    advisories = [hit.advisory for hit in hits]
    evidence = {
        vulnerability.VULNERABILITY_ID: found.ids[0],
        vulnerability.ALIASES: " ".join(found.ids[1:]),
        vulnerability.FIXED_VERSION: fix.version,
        vulnerability.FIXED_AT: fix.fixed_at,
        vulnerability.PUBLISHED_AT: min(
            (a.published for a in advisories if a.published), default=""
        ),
        vulnerability.MODIFIED_AT: max((a.modified for a in advisories), default=""),
        vulnerability.KNOWN_EXPLOITED: "true" if any(e.known_exploited for e in enriched) else "",
        vulnerability.EXPLOIT_PROBABILITY: f"{max(probabilities):g}" if probabilities else "",
        vulnerability.INSTALLED_VERSION: hits[0].installed_version,
        vulnerability.FIX_STATE: str(fix.state),
        vulnerability.SEVERITY_SOURCE: rating.source,
        vulnerability.CVSS: rating.vector,
        vulnerability.ADVISORIES: " ".join(sorted({a.id for a in advisories})),
        vulnerability.ECOSYSTEM: hits[0].affected.ecosystem,
    }
    return {name: value for name, value in evidence.items() if value}
