"""A policy, ready to judge: globs, expressions and waivers compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from scanner.model import Decision, Finding, Kind, Severity
from scanner.policy import _expressions
from scanner.policy._match import Circumstances, CompiledMatch, compile_match
from scanner.policy._waivers import CompiledWhere, WaiverIndex
from scanner.policy.document import (
    Action,
    Advised,
    Covered,
    Document,
    Require,
    Rule,
    Scanned,
    Signed,
)
from scanner.policy.parse import parse_document
from scanner.policy.vex import Statement, VexIndex

Condition: TypeAlias = Callable[[Mapping[str, Any]], bool]
_SCOPES_REMEMBERED: Final = 256
_RULES_REMEMBERED: Final = 4_096


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule."""

    rule: Rule
    decision: Decision
    """What the rule's action makes of the verdict."""
    match: CompiledMatch | None
    excepts: tuple[CompiledMatch, ...]
    when: Condition | None
    expression: Condition | None

    def is_about(self, finding: Finding, circumstances: Circumstances) -> bool:
        """Whether a finding that :attr:`match` fits is matched and not excepted; ``when`` is asked elsewhere, as it can fail."""
        if self.match is None or not self.match.passes(finding, circumstances):
            return False
        return not self.excepts or not any(e.matches(finding, circumstances) for e in self.excepts)


@dataclass(frozen=True, slots=True)
class States:
    """The states that are required of one image."""

    scanned: Scanned = field(default_factory=Scanned)
    coverage: Covered = field(default_factory=Covered)
    advisories: Advised | None = None
    signed: Signed | None = None

    def with_those_of(self, require: Require) -> States:
        """Return the states, each that ``require`` names replaced."""
        return States(
            scanned=require.scanned or self.scanned,
            coverage=require.coverage or self.coverage,
            advisories=require.advisories or self.advisories,
            signed=require.signed or self.signed,
        )


@dataclass(slots=True)
class EffectiveRules:
    """What holds for one image: the document's rules, then those of each scope that covers it."""

    states: States
    scopes: tuple[str, ...]
    of_findings: tuple[CompiledRule, ...]
    """The strictest first, then in order of the document."""
    of_report: tuple[CompiledRule, ...]
    _fitting: dict[tuple[Kind, Severity, str], tuple[CompiledRule, ...]] = field(
        default_factory=dict
    )

    def fitting(self, finding: Finding) -> tuple[CompiledRule, ...]:
        """Return the rules that kind, severity and rule id of a finding let apply; the rest is to be tested."""
        key = (finding.kind, finding.severity, finding.rule_id)
        known = self._fitting.get(key)
        if known is None:
            known = tuple(r for r in self.of_findings if r.match is not None and r.match.fits(*key))
            if len(self._fitting) < _RULES_REMEMBERED:
                self._fitting[key] = known
        return known

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of finding that rules speak of: that none was found says something only if they were looked for."""
        rules = (*self.of_findings, *self.of_report)
        return frozenset(k for r in rules if r.rule.match for k in r.rule.match.spoken_of)


class Policy:
    """A policy document and what it was compiled to. Immutable to its users; may be used by many threads."""

    def __init__(self, document: Document, vex: Iterable[Statement] = ()) -> None:
        self.document = document
        self.waivers = WaiverIndex(document.waivers)
        self.vex = VexIndex(replace(s, order=n) for n, s in enumerate(vex))
        self._rules = tuple(map(_compile, document.rules))
        self._scopes = tuple(
            (scope, CompiledWhere(scope.where), tuple(map(_compile, scope.rules)))
            for scope in document.scopes
        )
        self._effective: dict[tuple[str, ...], EffectiveRules] = {}

    def effective(self, name: str, namespace: str) -> EffectiveRules:
        """Return what holds for ``registry/repository`` in a namespace; either may be empty, for unknown."""
        covering = tuple(s.name for s, where, _ in self._scopes if where.covers(name, namespace))
        known = self._effective.get(covering)
        if known is None:
            known = self._merged(covering)
            if len(self._effective) < _SCOPES_REMEMBERED:
                self._effective[covering] = known
        return known

    def _merged(self, covering: tuple[str, ...]) -> EffectiveRules:
        states = States().with_those_of(self.document.require)
        rules = {r.rule.name: r for r in self._rules}
        for scope, _, compiled in self._scopes:
            if scope.name in covering:
                states = states.with_those_of(scope.require)
                rules |= {r.rule.name: r for r in compiled}
        active = [r for r in rules.values() if r.rule.action is not Action.IGNORE]
        active.sort(key=lambda r: (-r.decision.rank, r.rule.line))
        return EffectiveRules(
            states=states,
            scopes=covering,
            of_findings=tuple(r for r in active if r.expression is None),
            of_report=tuple(r for r in active if r.expression is not None),
        )


def _compile(rule: Rule) -> CompiledRule:
    about = _expressions.About
    return CompiledRule(
        rule=rule,
        decision=rule.action.decision,
        match=compile_match(rule.match) if rule.match else None,
        excepts=tuple(map(compile_match, rule.excepts)),
        when=_expressions.compiled(rule.when, about.FINDING) if rule.when else None,
        expression=(
            _expressions.compiled(rule.expression, about.REPORT) if rule.expression else None
        ),
    )


def load_policy(text: str, where: str, vex: Iterable[Statement] = ()) -> Policy:
    """Return the policy of a document; ``where`` names it in errors.

    ``vex`` are the statements of the documents that it names, which whoever may read files has read.

    Raises:
        SettingsError: the document is wrong: ``where:line``, and what was expected.
    """
    return Policy(parse_document(text, where), vex)
