"""Tests of policies: what a case can say, how it fails, and files that are wrong."""

from __future__ import annotations

import pytest
from support.policies import NOW, policy

from scanner.policy.cases import read_cases, run_case

POLICY = """
require:
  scanned: {within_days: 7}
  advisories: {within_hours: 48}
  signed: {by: [k], action: warn}
rules:
  - {name: secrets, action: deny, match: {kind: secret}}
  - {name: base, action: warn, match: {layer: base, kind: config}}
  - {name: fixes, action: deny, match: {fix_age_days: 30}, when: "finding.evidence.repository == 'main'"}
  - {name: labels, action: warn, expression: "'team' in image.labels && image.user == 'root' && image.tag == '1'"}
scopes:
  - name: production
    match: {image: registry.example/**, namespace: prod}
    rules: [{name: secrets, action: warn, match: {kind: secret}}]
waivers:
  - {finding: 0123456789abcdef0123456789abcdef, reason: r, owner: o, expires: 2026-12-31}
"""
FINE = "advisories_age_hours: 1, signed_by: [k]"
SECRET = "{rule: secret/x, kind: secret, severity: high}"
PASSING = {
    "allow": f"{{{FINE}, expect: {{decision: allow, reasons: [], waived: []}}}}",
    "states": "{expect: {decision: warn, reasons: [advisories, signed]}}",
    "old_advisories": "{signed_by: [k], advisories_age_hours: 49, expect: {decision: warn, reasons: [advisories]}}",
    "old": f"{{{FINE}, scan_age_days: 8, expect: {{decision: deny, reasons: [scanned]}}}}",
    "none": f"{{{FINE}, state: none, expect: {{decision: deny, reasons: [scanned]}}}}",
    "failed": f"{{{FINE}, state: failed, expect: {{decision: deny, reasons: [scanned]}}}}",
    "partial": f"{{{FINE}, state: partial, expect: {{decision: warn, reasons: [coverage]}}}}",
    "not_looked_for": f"{{{FINE}, not_looked_for: [secret], expect: {{decision: warn, reasons: [coverage]}}}}",
    "scope": f"{{{FINE}, image: registry.example/a, namespace: prod, findings: [{SECRET}], expect: {{decision: warn, reasons: [secrets]}}}}",
    "waived": f"{{{FINE}, findings: [{{rule: secret/x, kind: secret, severity: high, fingerprint: 0123456789abcdef0123456789abcdef}}], expect: {{decision: allow, waived: [secrets]}}}}",
    "waived_until": f"{{{FINE}, now: 2027-01-02, findings: [{{rule: secret/x, kind: secret, severity: high, fingerprint: 0123456789abcdef0123456789abcdef}}], expect: {{decision: deny, reasons: [secrets], waived: []}}}}",
    "base": f"{{{FINE}, base_layers: 2, findings: [{{rule: config/x, kind: config, severity: low, layer_index: 1}}], expect: {{decision: warn, reasons: [base]}}}}",
    "application": f"{{{FINE}, base_layers: 2, findings: [{{rule: config/x, kind: config, severity: low, layer_index: 2}}], expect: {{decision: allow}}}}",
    "facts": f"{{{FINE}, findings: [{{rule: v/x, kind: vulnerability, severity: low, id: CVE-1, fixed_version: 1.10, fixed_at: 2026-04-01, evidence: {{repository: main}}}}], expect: {{decision: deny, reasons: [fixes]}}}}",
    "image": f"{{{FINE}, tag: 1, user: root, labels: {{team: shop}}, expect: {{decision: warn, reasons: [labels]}}}}",
}  # fmt: skip


def outcome(case: str):
    cases, problems = read_cases(f"version: 1\ncases:\n  - {{name: x, {case[1:]}\n")
    assert problems == []
    return run_case(policy(POLICY), cases.cases[0], NOW)


@pytest.mark.parametrize("case", PASSING.values(), ids=PASSING)
def test_pass(case):
    assert outcome(case).failure == ""


@pytest.mark.parametrize(
    ("expect", "failure"),
    [
        ("decision: allow", "expected allow, was deny, because of secrets"),
        ("decision: deny, reasons: [signed, base]", "expected reasons base, signed, were secrets"),
        ("decision: deny, reasons: []", "expected reasons none, were secrets"),
        ("decision: deny, waived: [secrets]", "expected waived secrets, were none"),
    ],
)
def test_fail(expect, failure):
    assert outcome(f"{{{FINE}, findings: [{SECRET}], expect: {{{expect}}}}}").failure == failure


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "tests: the key"),
        ("version: 1\ncases:\n  - {name: x}\n", 3, "cases: the key expect is missing"),
        ("version: 1\ncases:\n  - {name: x, expect: {decision: no}}\n", 3, "decision: expected one of allow, warn, deny, found 'no'"),
        ("version: 1\ncases:\n  - name: x\n    expect: {decision: deny}\n    findings: [{rule: x}]\n", 5, "findings: the key"),
        ("version: 1\ncases:\n  - {name: x, expect: {decision: deny}, labels: [a]}\n", 3, "labels: expected at most 1,000 keys with texts, found a list"),
        ("version: 1\ncases:\n  - {name: x, expect: {decision: deny}, labels: {a: [b]}}\n", 3, "labels.a: expected a text, found a list"),
    ],
)  # fmt: skip
def test_wrong(text, line, told):
    cases, problems = read_cases(text)
    assert cases is None
    assert (problems[0].line, problems[0].message[: len(told)]) == (line, told)
