"""Which packages are affected by what: packages, distribution and advisories in, findings and coverage out. Pure.

Packages of the distribution are matched with its advisories only, and so is what they own: backported fixes leave
upstream's version as it was. Everything else is matched with the advisories of its ecosystem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from scanner.advisories.aliases import Naming, joined, naming_of
from scanner.advisories.ecosystems import Target, lookup_names, target_of
from scanner.advisories.findings import Assessment, Hit, assess, finding_of
from scanner.advisories.modules import has_fix_in, minor_of, of_stream, stream_of
from scanner.advisories.names import ECOSYSTEMS, language_name, normalised_name
from scanner.advisories.ranges import Key, key_of, place
from scanner.model import Distribution, FileIssue, Finding, Package
from scanner.model.advisory import Advisory, Affected, Enrichment, FixState
from scanner.model.finding import fingerprint_of
from scanner.ports import AdvisoryLookup

MATCHER: Final = "advisories/matcher"
"""Whose issues these are."""
_PAID_BUILD: Final = "esm"
"""In the version of every build that only a subscription gives."""
UNKNOWN_DISTRIBUTION: Final = "unknown-distribution"
NO_DATA: Final = "no-advisory-data"
INCOMPARABLE: Final = "incomparable-version"


class EcosystemFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How many packages were matched with which data."""

    ecosystem: str
    packages_count: int
    has_data: bool


class MatchCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """What was matched, and what was not."""

    ecosystems: tuple[EcosystemFacts, ...] = ()
    owned_count: int = 0
    """Packages that one of the distribution's owns, matched by that one alone."""
    issues: tuple[FileIssue, ...] = ()
    """What could not be matched; any of them makes the answer incomplete."""
    notes: tuple[str, ...] = ()
    """What is worth knowing of how it was matched."""


@dataclass(frozen=True, slots=True)
class Matched:
    """What a match says."""

    findings: tuple[Finding, ...]
    """By package, then main id; with fingerprints."""
    coverage: MatchCoverage


@dataclass(frozen=True, slots=True)
class _Question:
    """A package as it is asked about: versions that are compared, and where its advisories are."""

    package: Package
    target: Target
    names: tuple[tuple[str, str], ...]
    """(name, version of what has this name)."""
    stream: str | None


class _Compared(NamedTuple):
    """A version as it is compared with what advisories say."""

    package: Package
    version: str
    own_key: Any
    key: Key
    is_rpm: bool
    stream: str | None
    minor: str


@dataclass(slots=True)
class _Work:
    """What one match collects."""

    lookup: AdvisoryLookup
    counts: Counter[str] = field(default_factory=Counter)
    missing: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Ecosystem without data -> code and reason."""
    issues: dict[FileIssue, None] = field(default_factory=dict)
    commits_only: Counter[str] = field(default_factory=Counter)
    advisories: dict[tuple[str, str], Sequence[tuple[Advisory, Sequence[Affected]]]] = field(
        default_factory=dict
    )
    enrichments: dict[str, Enrichment] = field(default_factory=dict)
    answers: dict[tuple[object, ...], Sequence[Assessment]] = field(default_factory=dict)

    def enrichment_of(self, vulnerability: str) -> Enrichment:
        """Return what is known of an id, asked once."""
        if vulnerability not in self.enrichments:
            self.enrichments[vulnerability] = self.lookup.enrichment_of(vulnerability)
        return self.enrichments[vulnerability]


def match(
    packages: Sequence[Package], distribution: Distribution | None, lookup: AdvisoryLookup
) -> Matched:
    """Return the findings of an image's packages and what could not be matched; raises what ``lookup`` raises."""
    work = _Work(lookup)
    known = lookup.ecosystems()
    target = target_of(distribution, known) if distribution else None
    epochs = _source_epochs(packages)
    findings: list[Finding] = []
    owned_count = 0
    for package in packages:
        if package.owner and not package.from_distribution:
            owned_count += 1
            continue
        question = _question(package, distribution, target, epochs, work)
        if question is not None:
            findings += _findings(question, work)
    notes = [target.note] if target and target.note else []
    notes += _notes(work, owned_count)
    coverage = MatchCoverage(
        ecosystems=tuple(_facts(work)),
        owned_count=owned_count,
        issues=(*_missing_issues(work), *work.issues),
        notes=tuple(notes),
    )
    return Matched(tuple(findings), coverage)


def _source_epochs(packages: Iterable[Package]) -> dict[str, str]:
    """Return the epoch of each rpm source: of the package that has its name, since others may have their own."""
    return {
        p.source_name: p.qualifiers.get("epoch", "")
        for p in packages
        if p.purl_type == "rpm" and p.name == p.source_name
    }


def _question(
    package: Package,
    distribution: Distribution | None,
    target: Target | None,
    epochs: dict[str, str],
    work: _Work,
) -> _Question | None:
    """Return how to ask about a package; None where nothing can be asked, which is then told."""
    if package.from_distribution:
        return _distribution_question(package, distribution, target, epochs, work)
    ecosystem = ECOSYSTEMS.get(package.purl_type)
    if ecosystem is None:
        where = f"pkg:{package.purl_type}"
        reason = f"no advisories are known for packages of type {package.purl_type}"
        work.missing.setdefault(where, (NO_DATA, reason))
        work.counts[where] += 1
        return None
    work.counts[ecosystem] += 1
    if ecosystem not in work.lookup.ecosystems():
        work.missing.setdefault(ecosystem, (NO_DATA, f"no advisory data for {ecosystem}"))
        return None
    name = normalised_name(ecosystem, language_name(package))
    target = Target(ecosystems=(ecosystem,), wanted=ecosystem)
    return _Question(package, target, ((name, package.version),), None)


def _distribution_question(
    package: Package,
    distribution: Distribution | None,
    target: Target | None,
    epochs: dict[str, str],
    work: _Work,
) -> _Question | None:
    if target is None or not target.ecosystems:
        where = target.wanted if target else distribution.id if distribution else package.purl_type
        work.counts[where] += 1
        work.missing.setdefault(where, _why_no_target(distribution, target))
        return None
    work.counts[target.ecosystems[-1] if target.subscription else target.wanted] += 1
    names = tuple((name, _version(package, name, epochs)) for name in lookup_names(package, target))
    return _Question(package, target, names, stream_of(package))


def _why_no_target(distribution: Distribution | None, target: Target | None) -> tuple[str, str]:
    if target is not None:
        return NO_DATA, f"no advisory data for {target.wanted}"
    if distribution is None:
        reason = "packages of a distribution that the image does not name: no advisories to choose"
    else:
        reason = f"no advisories are known for the distribution {distribution.id}"
    return UNKNOWN_DISTRIBUTION, reason


def _version(package: Package, name: str, epochs: dict[str, str]) -> str:
    """Return the version of what has ``name``, the package itself or its source, with the epoch."""
    is_source = name != package.name or (package.purl_type != "rpm" and bool(package.source_name))
    version = (package.source_version if is_source else "") or package.version
    if package.purl_type != "rpm":
        return version
    epoch = package.qualifiers.get("epoch", "")
    if is_source:
        epoch = epochs.get(name, epoch)
    return f"{epoch}:{version}" if epoch else version


def _findings(question: _Question, work: _Work) -> Iterator[Finding]:
    assessed = _assessed(question, work)
    if not assessed:
        return
    purl = question.package.purl
    for one in assessed:
        finding = finding_of(question.package, purl, one)
        yield msgspec.structs.replace(finding, fingerprint=fingerprint_of(finding))


def _assessed(question: _Question, work: _Work) -> Sequence[Assessment]:
    """Return what a package is affected by; for packages of one source this is worked out once."""
    purl_type = question.package.purl_type
    cached = (purl_type, question.target.ecosystems, question.names, question.stream)
    if cached not in work.answers:
        hits = list(_hits(question, work))
        found = joined([naming for _, naming in hits], [hit.advisory.id for hit, _ in hits])
        work.answers[cached] = [
            assess(one, [hits[n][0] for n in one.members], work.enrichment_of, key_of(purl_type))
            for one in found
        ]
    return work.answers[cached]


def _hits(question: _Question, work: _Work) -> Iterator[tuple[Hit, Naming]]:
    """Yield the records that affect a package, and what they are about."""
    target, of_distribution = question.target, question.package.from_distribution
    hits: dict[tuple[str, str], tuple[Hit, Naming]] = {}
    decided: set[str] = set()
    cleared: set[str] = set()
    for ecosystem in target.ecosystems:
        is_paid = ecosystem in target.subscription
        for name, version in question.names:
            compared = _compared(question, version)
            has_paid = is_paid and _PAID_BUILD in version
            for advisory, affected in _advisories(ecosystem, name, work):
                if advisory.id in decided:
                    continue
                if has_paid:  # what the subscription says of its own builds is the last word
                    decided.add(advisory.id)
                hit = _hit(compared, advisory, affected, work)
                if hit is None and not (compared.minor and has_fix_in(affected, compared.minor)):
                    continue
                naming = naming_of(advisory, of_distribution=of_distribution)
                if hit is None:
                    cleared.update(naming.subjects, naming.same)
                    continue
                hit = hit._replace(by_subscription=is_paid and not has_paid)
                hits.setdefault((ecosystem, advisory.id), (hit, naming))
    for hit, naming in hits.values():
        left = naming.without(cleared) if cleared else naming
        if left.subjects:
            yield hit, left


def _compared(question: _Question, version: str) -> _Compared:
    package = question.package
    key = key_of(package.purl_type)
    is_rpm = package.purl_type == "rpm"
    minor = minor_of(version) if is_rpm else ""
    return _Compared(package, version, key(version), key, is_rpm, question.stream, minor)


def _advisories(
    ecosystem: str, name: str, work: _Work
) -> Sequence[tuple[Advisory, Sequence[Affected]]]:
    """Return the advisories that stand, each with what it says of this package."""
    if (ecosystem, name) not in work.advisories:
        found: list[tuple[Advisory, Sequence[Affected]]] = []
        for advisory in work.lookup.advisories_of(ecosystem, name):
            affected = [a for a in advisory.affected if _is_about(a, ecosystem, name)]
            if affected and not advisory.withdrawn:
                found.append((advisory, affected))
        work.advisories[ecosystem, name] = found
    return work.advisories[ecosystem, name]


def _is_about(affected: Affected, ecosystem: str, name: str) -> bool:
    return (
        affected.ecosystem == ecosystem
        and (affected.name == name or normalised_name(ecosystem, affected.name) == name)
        and affected.state is not FixState.NOT_AFFECTED
    )


def _hit(
    compared: _Compared, advisory: Advisory, affected: Sequence[Affected], work: _Work
) -> Hit | None:
    """Return what an advisory says of a version, of several that affect it the one that is fixed last."""
    _, version, own_key, key, is_rpm, stream, _ = compared
    found: Hit | None = None
    for one in of_stream(affected, stream) if is_rpm else affected:
        placed = place(version, own_key, one, key)
        if placed.is_affected:
            hit = Hit(advisory, one, placed.fixed_version, version, placed.last_affected)
            found = hit if found is None or _is_fixed_later(hit, found, key) else found
        elif one.has_commits_only:
            work.commits_only[advisory.id] += 1
        elif placed.unreadable or (own_key is None and one.ranges):
            _tell_incomparable(compared, placed.unreadable, advisory, work)
    return found


def _is_fixed_later(hit: Hit, other: Hit, key: Key) -> bool:
    if not hit.fixed_version or not other.fixed_version:
        return bool(hit.fixed_version)
    return bool(key(hit.fixed_version) > key(other.fixed_version))


def _tell_incomparable(compared: _Compared, bound: str, advisory: Advisory, work: _Work) -> None:
    package, version = compared.package, compared.version
    text = (
        f"{advisory.id}: {bound[:60]!r} is no version that can be compared"
        if bound
        else f"{package.name}: {version[:60]!r} is no version that can be compared with advisories"
    )
    issue = FileIssue(path=package.path, reason=text, code=INCOMPARABLE, analyzer=MATCHER)
    work.issues[issue] = None


def _facts(work: _Work) -> Iterator[EcosystemFacts]:
    for ecosystem, count in sorted(work.counts.items()):
        has_data = ecosystem not in work.missing
        yield EcosystemFacts(ecosystem=ecosystem, packages_count=count, has_data=has_data)


def _missing_issues(work: _Work) -> Iterator[FileIssue]:
    for ecosystem, (code, reason) in sorted(work.missing.items()):
        text = f"{reason} ({work.counts[ecosystem]} packages)"
        yield FileIssue(path="", reason=text, code=code, analyzer=MATCHER)


def _notes(work: _Work, owned_count: int) -> Iterator[str]:
    if owned_count:
        yield f"{owned_count} packages belong to packages of the distribution and were matched through those"
    if work.commits_only:
        yield (
            f"{len(work.commits_only)} advisories name commits only, which no version can be compared with: "
            + ", ".join(sorted(work.commits_only)[:10])
        )
