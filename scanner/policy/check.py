"""What is odd in a policy that is right: rules that can never match, waivers that end soon."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Final

from scanner.model import Kind
from scanner.policy import _globs
from scanner.policy._shape import Problem
from scanner.policy.document import Action, Document, LayerOrigin, Match, Rule, Scope, Waiver, Where

SOON: Final = timedelta(days=14)
_FUTURE_RULES: Final = ("vulnerability/", "CVE-", "GHSA-")
"""Rule ids that name a vulnerability: any may come."""


def oddities(document: Document, now: datetime, known_rules: Collection[str] = ()) -> list[Problem]:
    """Return what is odd, by line. ``known_rules`` are the ids that findings can have; unknown if empty."""
    found = [
        *_rules(document.rules, known_rules),
        *(odd for scope in document.scopes for odd in _scope(document, scope, known_rules)),
        *(odd for waiver in document.waivers for odd in _waiver(waiver, now)),
        *(odd for where in _places(document) for odd in _where(where)),
    ]
    return sorted(found, key=lambda p: (p.line, p.message))


def _places(document: Document) -> Iterator[Where]:
    yield from (scope.where for scope in document.scopes)
    yield from (waiver.where for waiver in document.waivers if waiver.where)


def _where(where: Where) -> Iterator[Problem]:
    """Tell globs that no ``registry/repository`` is like."""
    for glob in where.images:
        host = glob.partition("/")[0]
        if not (set(host) & set(".:*?") or host == "localhost"):
            yield Problem(where.line, f"image {glob} can never match: {host} is no registry (docker.io/library/… on Docker Hub)")  # fmt: skip
        elif glob != glob.lower():
            yield Problem(where.line, f"image {glob} can never match: names are in small letters")
        elif "@" in glob or ":" in glob.partition("/")[2]:
            yield Problem(where.line, f"image {glob} can never match: a repository has neither tag nor digest")  # fmt: skip


def _scope(document: Document, scope: Scope, known_rules: Collection[str]) -> Iterator[Problem]:
    require = scope.require
    if not scope.rules and not any(
        (require.scanned, require.coverage, require.advisories, require.signed)
    ):
        yield Problem(scope.line, f"scope {scope.name} changes nothing: it has no rules and requires nothing")  # fmt: skip
    before = {rule.name for rule in document.rules}
    for other in document.scopes:
        if other is scope:
            break
        before |= {rule.name for rule in other.rules}
    for rule in scope.rules:
        if rule.action is Action.IGNORE and rule.name not in before:
            yield Problem(rule.line, f"rule {rule.name} switches off nothing: no rule before it has that name")  # fmt: skip
    yield from _rules(scope.rules, known_rules)


def _rules(rules: tuple[Rule, ...], known_rules: Collection[str]) -> Iterator[Problem]:
    for number, rule in enumerate(rules):
        if rule.match is None or rule.action is Action.IGNORE:
            continue
        if reason := _never(rule.match):
            yield Problem(rule.match.line, f"rule {rule.name} can never match: {reason}")
        if any(_is_within(rule.match, other) for other in rule.excepts):
            yield Problem(rule.line, f"rule {rule.name} can never match: its except covers its match")  # fmt: skip
        for glob in rule.match.rules:
            if not _names_a_rule(glob, known_rules):
                yield Problem(rule.match.line, f"rule {rule.name}: no rule id is like {glob}")
        for earlier in rules[:number]:
            if _hides(earlier, rule):
                yield Problem(
                    rule.line,
                    f"rule {rule.name} never gives a reason: {earlier.name} (line {earlier.line}) "
                    "matches all that it does",
                )
                break
        for later in rules[number + 1 :]:
            if later.action is Action.DENY and rule.action is Action.WARN and _hides(later, rule):
                yield Problem(
                    rule.line,
                    f"rule {rule.name} never gives a reason: {later.name} (line {later.line}) denies all that it matches",
                )
                break


def _never(match: Match) -> str:
    """Return why no finding can be all that is asked; empty if one can."""
    asks = [
        name
        for name, asked in (
            ("id", bool(match.ids)),
            ("fix_available", match.fix_available),
            ("fix_age_days", match.fix_age_days is not None),
            ("known_exploited", match.known_exploited),
            ("exploit_probability", match.exploit_probability is not None),
        )
        if asked
    ]
    if asks and match.kinds and Kind.VULNERABILITY not in match.kinds:
        return f"{asks[0]} is about vulnerabilities, kind is not"
    if match.fix_available is False and match.fix_age_days is not None:
        return "fix_age_days without a fix"
    if match.paths and all(p.startswith("/") for p in match.paths):
        return f"paths have no leading slash, {match.paths[0]} has"
    if match.layer is LayerOrigin.BASE and any(p.startswith("config:") for p in match.paths):
        return "the image's own settings are not the base image's"
    return ""


def _names_a_rule(glob: str, known_rules: Collection[str]) -> bool:
    if not known_rules or glob.startswith(("*", *_FUTURE_RULES)):
        return True
    is_meant = _globs.matcher([glob])
    return any(map(is_meant, known_rules))


def _hides(first: Rule, second: Rule) -> bool:
    """Whether the second rule gives a reason for no finding, as the first does for all that it matches."""
    if first.match is None or second.match is None or first.when or first.excepts:
        return False
    if first.expression or second.expression:
        return False
    if first.action.decision.rank < second.action.decision.rank:
        return False
    return _is_within(second.match, first.match)


def _is_within(narrow: Match, wide: Match) -> bool:
    """Whether all that ``narrow`` matches is surely matched by ``wide``."""
    lists = (
        (narrow.kinds, wide.kinds),
        (narrow.rules, wide.rules),
        (narrow.ids, wide.ids),
        (narrow.packages, wide.packages),
        (narrow.paths, wide.paths),
    )
    if any(of_wide and not (of_narrow and set(of_narrow) <= set(of_wide)) for of_narrow, of_wide in lists):  # fmt: skip
        return False
    same = ("layer", "deleted", "fix_available", "known_exploited")
    if any(getattr(wide, n) not in (None, getattr(narrow, n)) for n in same):
        return False
    if wide.severity and not (narrow.severity and narrow.severity.rank >= wide.severity.rank):
        return False
    at_least = (
        (narrow.fix_age_days, wide.fix_age_days),
        (narrow.exploit_probability, wide.exploit_probability),
    )
    return all(w is None or (n is not None and n >= w) for n, w in at_least)


def _waiver(waiver: Waiver, now: datetime) -> Iterator[Problem]:
    what = waiver.finding or waiver.id or waiver.rule
    if waiver.expires_at <= now:
        yield Problem(waiver.line, f"the waiver of {what} has expired: it waives nothing")
    elif waiver.expires_at - now <= SOON:
        days = (waiver.expires_at - now).days
        left = f"{days} day{'' if days == 1 else 's'}" if days else "less than a day"
        yield Problem(waiver.line, f"the waiver of {what} expires in {left}: ask {waiver.owner}")
