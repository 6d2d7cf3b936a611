"""The battery that every shipped rule passes; a new rule gets it without an edit here."""

from __future__ import annotations

import hashlib
import random
import re

import pytest
from support.pattern_harness import matches, outputs
from support.secret_samples import sample

from scanner.analyzers.secrets._rules import Rule, confirm_of, is_unbounded, verify_rule
from scanner.analyzers.secrets.engine import ANALYZERS
from scanner.model import Finding, Severity

ANALYZER = ANALYZERS[0]
RULES: dict[str, Rule] = ANALYZER.inspect.args[0]  # type: ignore[attr-defined]
SEEDS = range(5)
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.id)


def findings(text: str, path: str) -> list[Finding]:
    return [o for o in outputs(ANALYZER, text.encode(), path) if isinstance(o, Finding)]


def secret_of(rule: Rule, text: str) -> str:
    """Return what the rule's expression takes for the secret in ``text``."""
    match = confirm_of(rule).search(text.encode())
    assert match
    return (match["secret"] if "secret" in match.re.groupindex else match.group()).decode()


def test_there_are_many_rules_with_unique_names():
    assert len(RULES) >= 90
    assert len(RULES) == len(ANALYZER.patterns)


@every_rule
def test_is_well_formed(rule):
    verify_rule(rule, "shipped")
    for text in (rule.title, rule.why, rule.remedy):
        assert len(text) > 5
        assert text.strip() == text
    assert rule.why.endswith(".")
    assert rule.remedy.endswith(".")


@every_rule
def test_anchor_costs_little(rule):
    """A literal or a context of at least three bytes, and a bounded repeat."""
    assert not is_unbounded(rule.anchor)
    assert not is_unbounded(rule.confirm)


@every_rule
def test_finds_generated_secrets(rule):
    found = 0
    for seed in SEEDS:
        path, text = sample(rule, random.Random(seed))
        found += rule.id in {f.rule_id for f in findings(text, path)}
    assert found >= len(SEEDS) - 1 - (rule.confidence == "generic")


@every_rule
def test_confirm_implies_anchor(rule):
    path, text = sample(rule, random.Random(1))
    pattern = next(p for p in ANALYZER.patterns if p.id == rule.id)
    match = confirm_of(rule).search(text.encode())
    assert match, (path, text)
    ends = [end for _, end in matches((pattern,), text.encode())]
    assert ends
    assert len(ends) <= 3, "an anchor is reported once, not at every length"
    assert rule.near or any(match.start() < end <= match.end() for end in ends)


@every_rule
def test_leaks_nothing(rule):
    for seed in SEEDS:
        path, text = sample(rule, random.Random(seed))
        for finding in findings(text, path):
            secret = secret_of(RULES[finding.rule_id], text)
            shown = repr(finding)
            assert secret not in shown
            assert not any(
                secret[i : i + 6] in shown
                for i in range(6, len(secret) - 6)
                if _is_odd(secret[i : i + 6])
            )
            redacted = finding.evidence["redacted"].removesuffix("…")
            assert len(redacted) <= min(4, len(secret) // 4)


def _is_odd(piece: str) -> bool:
    """A piece that no wording would hold by chance."""
    return bool(re.search(r"\d", piece) and re.search(r"[A-Z]", piece))


@every_rule
def test_placeholder_of_the_same_shape_is_not_found(rule):
    path, text = sample(rule, random.Random(2))
    secret = secret_of(rule, text)
    keep = len(secret) // 5
    body = re.sub(r"[A-Za-z0-9]", "x", secret[keep:])
    for filler in ("x", "0", "A"):
        stand_in = secret[:keep] + body.replace("x", filler)
        changed = text.replace(secret, stand_in)
        if rule.id == "secret/chpasswd-password":
            continue  # whatever it is, it becomes the account's password
        if rule.id in {"secret/shadow-password-hash", "secret/htpasswd-hash"}:
            changed = text.replace(secret, "*")  # a locked account
        assert rule.id not in {f.rule_id for f in findings(changed, path)}, filler


@every_rule
def test_finding_says_where_and_what(rule):
    path, text = sample(rule, random.Random(3))
    mine = [f for f in findings(text, path) if f.rule_id == rule.id]
    for finding in mine:
        secret = secret_of(rule, text)
        stripped = re.sub(r"\s|\\[nrt]|[\"']", "", secret)
        digest = hashlib.sha256(stripped.encode()).hexdigest()
        assert finding.path == path
        assert finding.identity == digest == finding.evidence["sha256"]
        assert text.encode()[finding.offset :].startswith(secret.encode())
        assert finding.line == text[: finding.offset].count("\n") + 1
        assert finding.severity == rule.severity
        assert finding.severity.rank >= Severity.LOW.rank


def test_one_secret_is_not_reported_by_many_rules():
    """Only a key id beside its secret is two findings."""
    for rule in RULES.values():
        path, text = sample(rule, random.Random(5))
        others = {f.rule_id for f in findings(text, path)} - {rule.id}
        assert others <= ({"secret/aws-access-key-id"} if rule.near else set()), rule.id
