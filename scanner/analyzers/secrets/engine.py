"""Credentials: rules are data (``rules/*.toml``), this decides whether a hit is one.

A hit is believed when the rule's expression matches around it, its checks agree and nothing says
that it is a look-alike. The secret itself never leaves this module: findings carry its SHA-256.

Source: https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

from scanner.analyzers.secrets import _filters
from scanner.analyzers.secrets._checks import CHECKS, Candidate
from scanner.analyzers.secrets._rules import (
    Rule,
    confirm_of,
    parse_rules,
    paths_of,
    prefix_of,
    verify_rule,
)
from scanner.errors import SettingsError
from scanner.model import Finding, Kind, Severity
from scanner.ports import Hit, Pattern, PatternAnalyzer

_VERSION: Final = 2
_BEFORE_BYTES: Final = 2_048
_MATCHES_COUNT: Final = 64
"""Confirmed matches looked at in one window."""
_WIDE_BYTES: Final = 2_048
"""A window from which on only starts before the anchor's end are tried."""
_KNOWN_BYTES: Final = 128
"""How far around a generic match other rules are asked whether they know the value."""
_BODY: Final = re.compile(rb"\s|\\[nrt]|[\"']")
_TEXT_TYPES: Final = ("text/", "application/json", "application/javascript", "inode/x-empty")


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Return the rules of a user's file, checked in full.

    Raises:
        SettingsError: unreadable, not TOML, or a bad rule; names the file, the rule and the reason.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), f"cannot be read: {error}") from error
    rules = parse_rules(text, str(path))
    seen: set[str] = set()
    for rule in rules:
        verify_rule(rule, str(path))
        if rule.id in seen:
            raise SettingsError(str(path), f"rule {rule.id}: defined twice")
        seen.add(rule.id)
    return rules


def analyzer_of(rules: Iterable[Rule], *, name: str, revision: str) -> PatternAnalyzer:
    """Return an analyzer for ``rules``; ``revision`` changes whenever they do."""
    by_id = MappingProxyType({rule.id: rule for rule in rules})
    patterns = tuple(
        Pattern(r.id, r.anchor, before=r.before, after=r.after, caseless=r.caseless)
        for r in by_id.values()
    )
    return PatternAnalyzer(
        name=name,
        version=_VERSION,
        patterns=patterns,
        inspect=partial(inspect, by_id),
        summary=f"credentials anywhere in a layer's bytes and in the image config: {len(by_id)} rules",
        revision=revision,
    )


def inspect(rules: Mapping[str, Rule], hit: Hit) -> Iterator[Finding]:
    """Yield a finding for each credential around ``hit``."""
    rule = rules[hit.pattern]
    if not _applies(rule, hit):
        return
    for match in _matches(rule, hit):
        candidate = _candidate(match, hit)
        if _is_believed(rule, candidate, match, hit) and not _is_known(rules, rule, match, hit):
            yield _finding(rule, candidate.secret, _start(match), hit)


def _applies(rule: Rule, hit: Hit) -> bool:
    """Say whether path and surroundings allow the rule; cheap tests first."""
    if rule.confidence != "high" and (_filters.breeds_look_alikes(hit.path) or b"\0" in hit.head):
        return False
    if rule.is_password and _filters.teaches_passwords(hit.path):
        return False
    return _is_at_home(rule, hit)


def _is_at_home(rule: Rule, hit: Hit) -> bool:
    """Say whether the rule's ``paths``, ``keywords`` and ``unless`` fit the place."""
    if rule.paths and not paths_of(rule.paths).search(hit.path):
        return False
    if not rule.keywords and not rule.unless:
        return True
    around = hit.window.lower() + hit.path.lower().encode()
    wanted = not rule.keywords or any(k.encode() in around for k in rule.keywords)
    return wanted and not any(u.encode() in around for u in rule.unless)


def _matches(rule: Rule, hit: Hit) -> Iterator[re.Match[bytes]]:
    """Yield matches of ``confirm`` that hold the anchor's end, or all of the window for ``near``."""
    for count, match in enumerate(_attempts(rule, hit)):
        if count >= _MATCHES_COUNT or (match.start() >= hit.end and not rule.near):
            return
        if rule.near or match.end() >= hit.end:
            yield match


def _attempts(rule: Rule, hit: Hit) -> Iterator[re.Match[bytes]]:
    """Yield matches in order; a wide window is not searched for starts beyond the anchor."""
    expression, prefix = confirm_of(rule), prefix_of(rule.confirm)
    if rule.near or rule.caseless or not prefix or len(hit.window) < _WIDE_BYTES:
        yield from expression.finditer(hit.window)
        return
    start = hit.window.find(prefix, 0, hit.end)
    while start >= 0:
        match = expression.match(hit.window, start)
        if match:
            yield match
        start = hit.window.find(prefix, start + 1, hit.end)


def _start(match: re.Match[bytes]) -> int:
    return match.start("secret") if "secret" in match.re.groupindex else match.start()


def _candidate(match: re.Match[bytes], hit: Hit) -> Candidate:
    groups: dict[str, bytes | None] = match.groupdict()
    return Candidate(
        secret=groups.get("secret") or match.group(),
        groups=groups,
        before=hit.window[max(0, match.start() - _BEFORE_BYTES) : match.start()],
        path=hit.path,
    )


def _is_believed(rule: Rule, found: Candidate, match: re.Match[bytes], hit: Hit) -> bool:
    if _filters.is_well_known(found.secret) or not all(CHECKS[name](found) for name in rule.check):
        return False
    if rule.entropy and (
        _filters.entropy(found.secret) < rule.entropy
        or _filters.is_placeholder(found.secret)
        or _filters.is_in_blob(hit.window, match.start(), match.end())
    ):
        return False
    return rule.confidence == "high" or hit.line is not None or hit.mime().startswith(_TEXT_TYPES)


def _is_known(rules: Mapping[str, Rule], rule: Rule, match: re.Match[bytes], hit: Hit) -> bool:
    """Say whether a more specific rule knows the value of a generic one (and believes it or not)."""
    if rule.confidence != "generic":
        return False
    start, lower = _start(match), hit.window.lower()
    first, last = max(0, match.start() - _KNOWN_BYTES), match.end() + _KNOWN_BYTES
    return any(
        other.start() <= start < other.end()
        for one in rules.values()
        if one.confidence != "generic" and _may_know(one, hit, lower)
        for other in confirm_of(one).finditer(hit.window, first, last)
    )


def _may_know(rule: Rule, hit: Hit, lower: bytes) -> bool:
    """Say cheaply whether ``rule`` could match in the window (``lower``: the same in lower case)."""
    return prefix_of(rule.anchor).lower() in lower and _is_at_home(rule, hit)


def _finding(rule: Rule, secret: bytes, start: int, hit: Hit) -> Finding:
    body = _BODY.sub(b"", secret)
    digest = hashlib.sha256(body).hexdigest()
    evidence = {
        "redacted": _filters.redacted(body),
        "sha256": digest,
        "length": str(len(body)),
    }
    context = _filters.context_of(hit.path, is_private_key="private-key" in rule.id)
    if context:
        evidence["context"] = context
    return Finding(
        rule_id=rule.id,
        kind=Kind.SECRET,
        severity=min(rule.severity, Severity.LOW, key=_rank) if context else rule.severity,
        title=rule.title,
        why=rule.why,
        remedy=rule.remedy,
        path=hit.path,
        line=hit.line_at(start),
        offset=hit.offset + start,
        evidence=evidence,
        identity=digest,
    )


_rank: Final[Callable[[Severity], int]] = lambda severity: severity.rank  # noqa: E731


def _shipped() -> PatternAnalyzer:
    """Return the analyzer of the rules that come with the package (tests verify them in full)."""
    state, rules = hashlib.sha256(), list[Rule]()
    folder = files("scanner.analyzers.secrets").joinpath("rules")
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            text = file.read_text("utf-8")
            state.update(text.encode())
            rules += parse_rules(text, file.name)
    return analyzer_of(rules, name="secret/rules", revision=state.hexdigest()[:16])


ANALYZERS: Final = (_shipped(),)
