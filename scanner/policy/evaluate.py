"""Findings and a policy in, a verdict out.

Each finding gives at most one reason: the strictest rule that matches it, the first of those in the document. Waivers
and OpenVEX are asked only about findings that some rule matches. What cannot be evaluated denies.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeAlias

from scanner.model import Decision, Finding, ImageReport, Reason, ReasonCode, Verdict, Waived
from scanner.model.vulnerability import VULNERABILITY_ID, vulnerability_ids
from scanner.policy._expressions import ExpressionError, names_in
from scanner.policy._facts import finding_facts, image_facts, report_facts
from scanner.policy._match import Circumstances
from scanner.policy._states import counts, state_reasons
from scanner.policy.compiled import CompiledRule, EffectiveRules, Policy
from scanner.policy.document import Waiver
from scanner.policy.subject import Subject, base_layers_count
from scanner.policy.vex import ImageNames, Statement

Exemption: TypeAlias = Waiver | Statement


def evaluate(policy: Policy, subject: Subject, now: datetime) -> Verdict:
    """Return the verdict on a subject at a moment (aware). The order of findings does not matter."""
    rules = policy.effective(subject.name, subject.namespace)
    reasons = list(state_reasons(rules, subject, now))
    waived: list[Waived] = []
    for image in subject.images:
        _Image(policy, rules, subject, image, now).judge(reasons, waived)
    reasons = [r for r in reasons if counts(r)]
    reasons.sort(key=_reason_order)
    waived.sort(key=_waived_order)
    return Verdict(
        decision=_worst(reasons),
        digest=subject.digest,
        policy=policy.document.name,
        policy_digest=policy.document.digest,
        evaluated_at=moment_text(now),
        reasons=tuple(reasons),
        waived=tuple(waived),
    )


def moment_text(moment: datetime) -> str:
    """Return RFC 3339 in UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _worst(reasons: list[Reason]) -> Decision:
    decisions = {r.decision for r in reasons}
    return max(decisions, key=lambda d: d.rank, default=Decision.ALLOW)


def _reason_order(reason: Reason) -> str:
    """One text to sort by: comparing texts is several times faster than comparing tuples."""
    first = "0" if reason.decision is Decision.DENY else "1"
    return f"{first}{reason.line:07d}\0{reason.rule_id}\0{reason.path}\0{reason.package}\0{reason.finding}\0{reason.image}\0{reason.code}\0{reason.message}"


def _waived_order(waived: Waived) -> str:
    return f"{waived.rule_id}\0{waived.path}\0{waived.package}\0{waived.finding}\0{waived.image}"


class _Image:
    """The judgement of one image."""

    def __init__(
        self,
        policy: Policy,
        rules: EffectiveRules,
        subject: Subject,
        image: ImageReport,
        now: datetime,
    ) -> None:
        self._rules = rules
        self._subject = subject
        self._image = image
        self._now = now
        self._circumstances = Circumstances(now=now, base_layers_count=base_layers_count(image))
        self._waivers = policy.waivers.within(subject.name, subject.namespace)
        self._vex = policy.vex
        self._names = ImageNames(frozenset({subject.digest, image.digest}), subject.name)
        self._image_facts: dict[str, object] | None = None

    def judge(self, reasons: list[Reason], waived: list[Waived]) -> None:
        """Add the reasons of this image, and what would have been one."""
        for finding in self._image.findings:
            candidates = self._rules.fitting(finding)
            if candidates:
                self._finding(finding, candidates, reasons, waived)
        if self._rules.of_report:
            reasons.extend(self._expressions())

    def _finding(
        self,
        finding: Finding,
        candidates: tuple[CompiledRule, ...],
        reasons: list[Reason],
        waived: list[Waived],
    ) -> None:
        for compiled in candidates:
            if not compiled.is_about(finding, self._circumstances):
                continue
            failure = ""
            if compiled.when is not None:
                try:
                    if not compiled.when(self._when_facts(finding)):
                        continue
                except ExpressionError as error:
                    failure = str(error)
            exemption = self.exemption(finding)
            if isinstance(exemption, Waiver) and exemption.expires_at <= self._now:
                reasons.append(_reason(compiled, finding, self._image.digest, failure))
                reasons.append(_expired(compiled, finding, self._image.digest, exemption))
            elif exemption is not None:
                waived.append(_waived(compiled, finding, self._image.digest, exemption))
            else:
                reasons.append(_reason(compiled, finding, self._image.digest, failure))
            return

    def _when_facts(self, finding: Finding) -> dict[str, object]:
        if self._image_facts is None:
            self._image_facts = image_facts(self._subject, self._image)
        return {"finding": finding_facts(finding), "image": self._image_facts, "now": self._now}

    def exemption(self, finding: Finding) -> Exemption | None:
        """Return what waives a finding, a waiver before OpenVEX; or a waiver that did until it expired."""
        waiver = self._waivers.best_for(finding)
        if waiver is not None and waiver.expires_at > self._now:
            return waiver
        if self._vex and VULNERABILITY_ID in finding.evidence:
            ids = vulnerability_ids(finding)
            statement = self._vex.waiving(ids, finding.package, self._names, self._now)
            if statement is not None:
                return statement
        return waiver

    def _expressions(self) -> Iterator[Reason]:
        """Yield reasons of the rules about the whole report; waived findings are not in it."""
        standing = [f for f in self._image.findings if not self._is_waived(f)]
        for compiled in self._rules.of_report:
            rule = compiled.rule
            decision, code = compiled.decision, ReasonCode.EXPRESSION
            message = rule.message or rule.name
            try:
                if not self._is_true(compiled, standing):
                    continue
            except ExpressionError as error:
                decision, code = Decision.DENY, ReasonCode.EXPRESSION_FAILED
                message = f"the expression could not be evaluated: {error}"
            yield Reason(
                code=code,
                decision=decision,
                message=message,
                rule=rule.name,
                line=rule.line,
                image=self._image.digest,
            )

    def _is_true(self, compiled: CompiledRule, standing: list[Finding]) -> bool:
        """Whether an expression is true of the findings that its rule matches; raises ExpressionError."""
        names = names_in(compiled.rule.expression)
        if compiled.match is not None and "findings" in names:
            standing = [f for f in standing if self._is_matched(compiled, f)]
        facts = report_facts(names, self._subject, self._image, standing)
        return compiled.expression is not None and compiled.expression(facts | {"now": self._now})

    def _is_matched(self, compiled: CompiledRule, finding: Finding) -> bool:
        if compiled.match is None or not compiled.match.matches(finding, self._circumstances):
            return False
        if not compiled.is_about(finding, self._circumstances):
            return False
        return compiled.when is None or compiled.when(self._when_facts(finding))

    def _is_waived(self, finding: Finding) -> bool:
        exemption = self.exemption(finding)
        expired = isinstance(exemption, Waiver) and exemption.expires_at <= self._now
        return exemption is not None and not expired


def _about(finding: Finding, image: str) -> dict[str, str]:
    """Return how reasons and waived findings name what they are about."""
    return {
        "image": image,
        "finding": finding.fingerprint,
        "rule_id": finding.rule_id,
        "path": finding.path,
        "package": finding.package,
        "vulnerability": finding.evidence.get(VULNERABILITY_ID, ""),
    }


def _reason(compiled: CompiledRule, finding: Finding, image: str, failure: str) -> Reason:
    rule = compiled.rule
    message = f"{finding.title}: {rule.message}" if rule.message else finding.title
    if failure:
        message = f"{finding.title}: when could not be evaluated: {failure}"
    return Reason(
        code=ReasonCode.EXPRESSION_FAILED if failure else ReasonCode.FINDING,
        decision=Decision.DENY if failure else compiled.decision,
        message=message,
        rule=rule.name,
        line=rule.line,
        **_about(finding, image),
    )


def _expired(compiled: CompiledRule, finding: Finding, image: str, waiver: Waiver) -> Reason:
    return Reason(
        code=ReasonCode.WAIVER_EXPIRED,
        decision=compiled.decision,
        message=f"the waiver of {waiver.owner} expired at {moment_text(waiver.expires_at)}: {waiver.reason}",
        rule=compiled.rule.name,
        line=waiver.line,
        **_about(finding, image),
    )


def _waived(compiled: CompiledRule, finding: Finding, image: str, by: Exemption) -> Waived:
    is_waiver = isinstance(by, Waiver)
    return Waived(
        rule=compiled.rule.name,
        decision=compiled.decision,
        by="waiver" if is_waiver else "vex",
        line=by.line if isinstance(by, Waiver) else 0,
        reason=by.reason if isinstance(by, Waiver) else by.why,
        owner=by.owner if isinstance(by, Waiver) else by.author,
        expires=moment_text(by.expires_at) if isinstance(by, Waiver) else "",
        **_about(finding, image),
    )
