"""How a verdict came about: every rule that holds, with what it matched, reasons and waivers."""

from __future__ import annotations

from datetime import timedelta

from support.policies import NOW, finding, policy, subject

from scanner.model import Decision
from scanner.policy.explain import RuleTrace, explain

BODY = """
rules:
  - {name: all, action: warn, match: {}}
  - {name: secrets, action: deny, match: {kind: secret}, except: {path: usr/**}}
  - {name: off, action: ignore}
  - {name: whole, action: warn, expression: size(findings) > 1}
scopes:
  - name: shop
    match: {image: registry.example/**}
    rules: [{name: more, action: warn, match: {rule: config/*}}]
waivers:
  - {rule: secret/aws, reason: r, owner: o, expires: 2026-06-30}
"""
FOUND = (finding(), finding("secret/aws"), finding(path="usr/a"))


def trace(name: str, line: int, decision: str, *counts: int) -> RuleTrace:
    matched, reasons, waived = counts
    return RuleTrace(
        name=name,
        line=line,
        decision=Decision(decision),
        matched_count=matched,
        reasons_count=reasons,
        waived_count=waived,
    )


def test_rules_by_line_with_their_parts():
    explained = explain(policy(BODY), subject(*FOUND), NOW)
    assert explained.scopes == ("shop",)
    assert explained.base_layers_count == (1,)
    assert explained.rules == (
        trace("all", 5, "warn", 3, 1, 0),
        trace("secrets", 6, "deny", 2, 1, 1),
        trace("whole", 8, "warn", 0, 1, 0),
        trace("more", 12, "warn", 0, 0, 0),
    )


def test_an_expired_waiver_is_no_reason_of_its_own():
    explained = explain(policy(BODY), subject(*FOUND), NOW + timedelta(days=60))
    secrets = next(r for r in explained.rules if r.name == "secrets")
    assert (secrets.reasons_count, secrets.waived_count) == (2, 0)
    assert len(explained.verdict.reasons) == 5


def test_what_was_never_scanned():
    explained = explain(policy(BODY), subject(images=()), NOW)
    assert explained.verdict.decision is Decision.DENY
    assert sum(r.matched_count for r in explained.rules) == 0
