"""How a policy came to its verdict: every rule that holds for the image, and how many findings each matched."""

from __future__ import annotations

from datetime import datetime

import msgspec

from scanner.model import Decision, ReasonCode, Verdict
from scanner.policy._match import Circumstances
from scanner.policy.compiled import Policy
from scanner.policy.evaluate import evaluate
from scanner.policy.subject import Subject, base_layers_count


class RuleTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that holds for the image."""

    name: str
    line: int
    decision: Decision
    matched_count: int
    """Findings that it matches, whatever other rules say of them; before ``when``, waivers and OpenVEX."""
    reasons_count: int
    waived_count: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict and how it came about."""

    verdict: Verdict
    scopes: tuple[str, ...]
    """Scopes that hold for the image, in order: later ones win."""
    rules: tuple[RuleTrace, ...]
    """By line."""
    base_layers_count: tuple[int, ...]
    """How many layers are the base image's, for each image."""


def explain(policy: Policy, subject: Subject, now: datetime) -> Explanation:
    """Return the verdict on a subject at a moment, and how each rule took part in it."""
    rules = policy.effective(subject.name, subject.namespace)
    verdict = evaluate(policy, subject, now)
    bases = tuple(map(base_layers_count, subject.images))
    traces = []
    for compiled in sorted((*rules.of_findings, *rules.of_report), key=lambda r: r.rule.line):
        name = compiled.rule.name
        matched = sum(
            compiled.is_about(finding, Circumstances(now=now, base_layers_count=base))
            for image, base in zip(subject.images, bases, strict=True)
            for finding in image.findings
            if compiled.match is not None
            and compiled.match.fits(finding.kind, finding.severity, finding.rule_id)
        )
        traces.append(
            RuleTrace(
                name=name,
                line=compiled.rule.line,
                decision=compiled.decision,
                matched_count=matched,
                reasons_count=sum(
                    r.rule == name and r.code != ReasonCode.WAIVER_EXPIRED for r in verdict.reasons
                ),
                waived_count=sum(w.rule == name for w in verdict.waived),
            )
        )
    return Explanation(
        verdict=verdict,
        scopes=rules.scopes,
        rules=tuple(traces),
        base_layers_count=bases,
    )
