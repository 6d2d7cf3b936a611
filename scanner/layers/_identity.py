"""Which packages and findings are the same one, found twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from scanner.model import Finding, Kind, Package

_T = TypeVar("_T")


def _distinct(
    items: Iterable[_T], key: Callable[[_T], Hashable], worse: Callable[[_T], bool]
) -> tuple[_T, ...]:
    """Keep one item of each key, where the first was: a better one rather than a ``worse`` one, else the first."""
    found: dict[Hashable, _T] = {}
    for item in items:
        this = key(item)
        if this not in found or (worse(found[this]) and not worse(item)):
            found[this] = item
    return tuple(found.values())


def _package_key(package: Package) -> Hashable:
    qualifiers = frozenset(package.qualifiers.items())
    return (
        package.purl_type, package.namespace, package.name, package.version, qualifiers, package.path,
    )  # fmt: skip


def _finding_key(finding: Finding) -> Hashable:
    if finding.identity:
        return finding.fingerprint
    return (finding.fingerprint, finding.line, finding.offset)


def distinct_packages(packages: Iterable[Package]) -> tuple[Package, ...]:
    """Keep one package of each purl (before its distribution is filled in) and path; an installed one rather than a declared one."""
    return _distinct(packages, _package_key, lambda p: p.declared)


def distinct_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Keep one finding of each fingerprint (and place, where nothing else tells them apart).

    A visible one rather than one that a newer layer hides; of two hidden ones the older, because it
    is the build step that brought it in.
    """
    return _distinct(findings, _finding_key, lambda f: f.deleted_later)


def without_compiled(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out secrets of compiled Python whose source, beside it, has the same one and is as visible.

    Source: https://peps.python.org/pep-3147/
    """
    told = {
        (f.rule_id, f.identity, f.path, f.deleted_later)
        for f in findings
        if f.kind is Kind.SECRET and f.path.endswith(".py")
    }
    return [f for f in findings if not (told and _is_told_by_source(f, told))]


def _is_told_by_source(finding: Finding, told: set[tuple[str, str, str, bool]]) -> bool:
    if not finding.path.endswith(".pyc") or not finding.identity:
        return False
    directory, _, name = finding.path.removesuffix(".pyc").rpartition("/")
    above = directory.removesuffix("__pycache__").rstrip("/")
    source = f"{above}/{name.partition('.')[0]}.py".lstrip("/")
    hidden = {False, finding.deleted_later}
    return any((finding.rule_id, finding.identity, source, one) in told for one in hidden)
