"""What a policy says of an image: rules, states, scopes, waivers; whole verdicts where they are told."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from support.policies import (  # fmt: skip
    DIGEST,
    INDEX,
    NOW,
    finding,
    image,
    issue,
    policy,
    subject,
    vulnerability,
)

from scanner.model import (
    Decision,
    Kind,
    Reason,
    ReasonCode,
    ScanReport,
    ScanState,
    Severity,
    Verdict,
    Waived,
)
from scanner.policy.evaluate import evaluate
from scanner.policy.subject import base_layers_count, subject_of

DENY_SECRETS = """
rules:
  - name: credentials
    action: deny
    message: replace it
    match: {kind: secret, severity: high}
"""


def reasons(body: str, judged, now: datetime = NOW) -> list[tuple[str, str, str]]:
    """Return decision, rule and code of each reason."""
    found = evaluate(policy(body), judged, now).reasons
    return [(str(r.decision), r.rule, r.code) for r in found]


def test_a_verdict_whole():
    made = policy(DENY_SECRETS + "waivers:\n  - {rule: secret/aws, reason: test key, owner: me, expires: 2026-06-01}\n")  # fmt: skip
    key, waived = finding(), finding("secret/aws", path="app/test.env")
    assert evaluate(made, subject(waived, key), NOW) == Verdict(
        decision=Decision.DENY,
        digest=DIGEST,
        policy="test",
        policy_digest=made.document.digest,
        evaluated_at="2026-06-01T12:00:00Z",
        reasons=(
            Reason(
                code=ReasonCode.FINDING,
                decision=Decision.DENY,
                message="Title of secret/private-key: replace it",
                rule="credentials",
                line=5,
                image=DIGEST,
                finding=key.fingerprint,
                rule_id="secret/private-key",
                path="root/deploy.pem",
            ),
        ),
        waived=(
            Waived(
                rule="credentials",
                decision=Decision.DENY,
                by="waiver",
                line=10,
                reason="test key",
                owner="me",
                expires="2026-06-02T00:00:00Z",
                image=DIGEST,
                finding=waived.fingerprint,
                rule_id="secret/aws",
                path="app/test.env",
            ),
        ),
    )
    assert made.document.digest.startswith("sha256:")


OLD_FIX = {"fixed_version": "2", "fixed_at": "2026-04-01T00:00:00Z"}
NEW_FIX = {"fixed_version": "2", "fixed_at": "2026-05-25T00:00:00Z"}
MATCHES = {
    "everything": ("{}", finding(), True),
    "kind": ("{kind: secret}", finding(), True),
    "other_kind": ("{kind: [crypto, config]}", finding(), False),
    "severity_equal": ("{severity: high}", finding(), True),
    "severity_more": ("{severity: low}", finding(), True),
    "severity_less": ("{severity: critical}", finding(), False),
    "rule": ("{rule: secret/*}", finding(), True),
    "other_rule": ("{rule: [config/*, crypto/**]}", finding(), False),
    "path": ("{path: root/**}", finding(), True),
    "other_path": ("{path: root}", finding(), False),
    "deleted": ("{deleted: true}", finding(deleted_later=True), True),
    "not_deleted": ("{deleted: true}", finding(), False),
    "base": ("{layer: base}", finding(layer_index=0), True),
    "base_not_application": ("{layer: application}", finding(layer_index=0), False),
    "application": ("{layer: application}", finding(layer_index=1), True),
    "config_is_application": ("{layer: application}", finding(), True),
    "purl": ("{package: 'pkg:deb/debian/openssl@3.0.1-1?arch=amd64'}", vulnerability(), True),
    "purl_without_qualifiers": ("{package: 'pkg:deb/debian/openssl@3.*'}", vulnerability(), True),
    "purl_without_version": ("{package: 'pkg:deb/debian/openssl'}", vulnerability(), True),
    "purl_of_another": ("{package: 'pkg:deb/debian/openss'}", vulnerability(), False),
    "purl_of_all": ("{package: '**'}", finding(), False),
    "id": ("{id: CVE-2026-*}", vulnerability(), True),
    "alias": ("{id: GHSA-x}", vulnerability(evidence={"aliases": "DSA-1 GHSA-x"}), True),
    "other_id": ("{id: CVE-2025-*}", vulnerability(), False),
    "fix": ("{fix_available: true}", vulnerability(evidence=OLD_FIX), True),
    "no_fix": ("{fix_available: true}", vulnerability(), False),
    "wants_no_fix": ("{fix_available: false}", vulnerability(), True),
    "old_fix": ("{fix_age_days: 30}", vulnerability(evidence=OLD_FIX), True),
    "new_fix": ("{fix_age_days: 30}", vulnerability(evidence=NEW_FIX), False),
    "no_fix_has_no_age": ("{fix_age_days: 0}", vulnerability(evidence={"published_at": "2020-01-01"}), False),
    "fix_since_advisory": ("{fix_age_days: 30}", vulnerability(evidence={"fixed_version": "2", "published_at": "2026-05-30"}), False),
    "fix_of_unknown_age": ("{fix_age_days: 30}", vulnerability(evidence={"fixed_version": "2"}), True),
    "fix_of_unreadable_age": ("{fix_age_days: 30}", vulnerability(evidence={"fixed_version": "2", "fixed_at": "soon"}), True),
    "exploited": ("{known_exploited: true}", vulnerability(evidence={"known_exploited": "true"}), True),
    "not_exploited": ("{known_exploited: true}", vulnerability(evidence={"known_exploited": "false"}), False),
    "likely": ("{exploit_probability: 0.5}", vulnerability(evidence={"exploit_probability": "0.5"}), True),
    "unlikely": ("{exploit_probability: 0.5}", vulnerability(evidence={"exploit_probability": "0.49"}), False),
    "unknown_likelihood": ("{exploit_probability: 0}", vulnerability(), False),
    "unreadable_likelihood": ("{exploit_probability: 0}", vulnerability(evidence={"exploit_probability": "nan"}), False),
    "all_must_agree": ("{kind: secret, path: etc/**}", finding(), False),
}  # fmt: skip


@pytest.mark.parametrize(("match", "one", "want"), MATCHES.values(), ids=MATCHES)
def test_match(match, one, want):
    body = f"require: {{coverage: {{action: ignore}}}}\nrules:\n  - {{name: r, action: deny, match: {match}}}\n"  # fmt: skip
    assert bool(reasons(body, subject(one))) is want


def test_except():
    body = "rules:\n  - {name: r, action: deny, match: {kind: secret}, except: [{path: usr/**}, {severity: critical}]}\n"  # fmt: skip
    judged = subject(finding(path="usr/a"), finding(severity=Severity.CRITICAL), finding(path="b"))
    verdict = evaluate(policy(body), judged, NOW)
    assert [r.path for r in verdict.reasons] == ["b"]


def test_the_strictest_rule_gives_the_one_reason_of_a_finding():
    body = """
    rules:
      - {name: first, action: warn, match: {}}
      - {name: second, action: deny, match: {kind: secret}}
      - {name: third, action: deny, match: {kind: secret}}
    """
    assert reasons(body, subject(finding())) == [("deny", "second", "finding")]


def test_nothing_found_is_allowed():
    verdict = evaluate(policy(DENY_SECRETS), subject(finding(severity=Severity.LOW)), NOW)
    assert (verdict.decision, verdict.reasons) == (Decision.ALLOW, ())


STATES = {
    "not_scanned": ("", {"images": ()}, [("deny", "scanned", "not-scanned")]),
    "not_scanned_warn": ("require: {scanned: {action: warn}}", {"images": ()}, [("warn", "scanned", "not-scanned")]),
    "not_scanned_ignored": ("require: {scanned: {action: ignore}}", {"images": ()}, []),
    "failed": ("", {"images": (image(state=ScanState.FAILED, error="cut off"),)}, [("deny", "scanned", "scan-failed")]),
    "one_of_two_failed": ("", {"images": (image(), image(state=ScanState.FAILED))}, [("deny", "scanned", "scan-failed")]),
    "fresh": ("require: {scanned: {within_days: 1}}", {}, []),
    "old": ("require: {scanned: {within_days: 1}}", {"scanned_at": NOW - timedelta(days=2)}, [("deny", "scanned", "scan-old")]),
    "of_unknown_age": ("require: {scanned: {within_days: 1}}", {"scanned_at": None}, [("deny", "scanned", "scan-old")]),
    "partial": ("", {"images": (image(state=ScanState.PARTIAL),)}, [("warn", "coverage", "coverage-incomplete")]),
    "partial_deny": ("require: {coverage: {action: deny}}", {"images": (image(state=ScanState.PARTIAL),)}, [("deny", "coverage", "coverage-incomplete")]),
    "partial_ignored": ("require: {coverage: {action: ignore}}", {"images": (image(state=ScanState.PARTIAL),)}, []),
    "entry_not_scanned": ("", {"skipped": (issue(code="not-found"),)}, [("warn", "coverage", "coverage-incomplete")]),
    "entry_left_out": ("", {"skipped": (issue(code="skipped"),)}, []),
    "advisories_fresh": ("require: {advisories: {within_hours: 48}}", {"advisories_at": NOW}, []),
    "advisories_old": ("require: {advisories: {within_hours: 48}}", {"advisories_at": NOW - timedelta(hours=49)}, [("warn", "advisories", "advisories-old")]),
    "advisories_none": ("require: {advisories: {within_hours: 48, action: deny}}", {}, [("deny", "advisories", "advisories-unknown")]),
    "signed": ("require: {signed: {by: [k1, k2]}}", {"signed_by": ("k2", "k3")}, []),
    "signed_by_another": ("require: {signed: {by: k1}}", {"signed_by": ("k2",)}, [("deny", "signed", "not-signed")]),
    "unsigned": ("require: {signed: {by: k1, action: warn}}", {}, [("warn", "signed", "not-signed")]),
}  # fmt: skip


@pytest.mark.parametrize(("body", "facts", "want"), STATES.values(), ids=STATES)
def test_states(body, facts, want):
    assert reasons(body, subject(**facts)) == want


NOT_LOOKED_FOR = image(coverage={"not_looked_for": ("vulnerability", "a kind of tomorrow")})


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ("{kind: vulnerability}", True),
        ("{known_exploited: true}", True),
        ("{severity: critical}", True),
        ("{kind: secret}", False),
        ("{rule: config/root-user}", False),
    ],
)
def test_what_was_not_looked_for_is_not_taken_for_absent(match, told):
    body = f"rules:\n  - {{name: r, action: deny, match: {match}}}\n"
    want = [("warn", "coverage", "not-looked-for")] if told else []
    assert reasons(body, subject(images=(NOT_LOOKED_FOR,))) == want


SCOPED = """
require: {scanned: {within_days: 30}}
rules:
  - {name: credentials, action: deny, match: {kind: secret}}
  - {name: root, action: warn, match: {rule: config/root-user}}
scopes:
  - name: shop
    match: {image: registry.example/shop/**}
    rules:
      - {name: credentials, action: warn, match: {kind: secret}}
      - {name: more, action: warn, match: {kind: crypto}}
  - name: production
    match: {image: ["**"], namespace: [prod-*, live]}
    require: {scanned: {action: warn, within_days: 1}}
    rules:
      - {name: root, action: deny, match: {rule: config/root-user}}
      - {name: more, action: ignore}
"""
FOUND = (finding(), finding("config/root-user", kind=Kind.CONFIG), finding("crypto/x", kind=Kind.CRYPTO))  # fmt: skip
SCOPES = {
    "none": ("registry.example/lab/x", "", [("deny", "credentials"), ("warn", "root")]),
    "unknown_name": ("", "prod-a", [("deny", "credentials"), ("warn", "root")]),
    "first": ("registry.example/shop/web", "dev", [("warn", "root"), ("warn", "credentials"), ("warn", "more")]),
    "second": ("other.example/x", "live", [("deny", "credentials"), ("deny", "root"), ("warn", "scanned")]),
    "both": ("registry.example/shop/web", "prod-a", [("deny", "root"), ("warn", "credentials"), ("warn", "scanned")]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "namespace", "want"), SCOPES.values(), ids=SCOPES)
def test_scopes_add_and_replace_in_order(name, namespace, want):
    judged = subject(*FOUND, name=name, namespace=namespace, scanned_at=NOW - timedelta(days=2))
    verdict = evaluate(policy(SCOPED), judged, NOW)
    assert sorted((str(r.decision), r.rule) for r in verdict.reasons) == sorted(want)


KEY = finding()
CVE = vulnerability(evidence={"aliases": "GHSA-aaaa"})
WAIVERS = {
    "fingerprint": (f"finding: {KEY.fingerprint}", KEY, True),
    "other_fingerprint": (f"finding: {'0' * 32}", KEY, False),
    "rule": ("rule: secret/private-key", KEY, True),
    "rule_is_no_glob": ("rule: secret/*", KEY, False),
    "cve": ("id: CVE-2026-1", CVE, True),
    "cve_in_small_letters": ("id: cve-2026-1", CVE, True),
    "alias": ("id: GHSA-aaaa", CVE, True),
    "other_cve": ("id: CVE-2026-12", CVE, False),
    "cve_in_package": ("id: CVE-2026-1, package: 'pkg:deb/debian/openssl'", CVE, True),
    "cve_in_other_package": ("id: CVE-2026-1, package: 'pkg:deb/debian/zlib'", CVE, False),
    "path": ("rule: secret/private-key, path: root/**", KEY, True),
    "other_path": ("rule: secret/private-key, path: etc/**", KEY, False),
    "both": (f"finding: {KEY.fingerprint}, rule: secret/aws", KEY, False),
    "image": ("rule: secret/private-key, scope: {image: registry.example/**}", KEY, True),
    "other_image": ("rule: secret/private-key, scope: {image: other.example/**}", KEY, False),
    "unknown_namespace": ("rule: secret/private-key, scope: {namespace: '*'}", KEY, False),
}


@pytest.mark.parametrize(("what", "one", "want"), WAIVERS.values(), ids=WAIVERS)
def test_waiver(what, one, want):
    body = f"rules:\n  - {{name: r, action: deny, match: {{}}}}\nwaivers:\n  - {{{what}, reason: why, owner: me, expires: 2026-07-01}}\n"
    verdict = evaluate(policy(body), subject(one), NOW)
    assert (verdict.decision, len(verdict.waived)) == ((Decision.ALLOW, 1) if want else (Decision.DENY, 0))  # fmt: skip


def _waived_until(*ends: str) -> str:
    lines = [f"  - {{rule: secret/private-key, reason: why, owner: me{n}, expires: {e}}}" for n, e in enumerate(ends)]  # fmt: skip
    return DENY_SECRETS + "waivers:\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("now", "decision"),
    [
        (datetime(2026, 6, 1, 23, 59, 59, tzinfo=UTC), Decision.ALLOW),
        (datetime(2026, 6, 2, tzinfo=UTC), Decision.DENY),
    ],
    ids=["last_second", "over"],
)
def test_a_waiver_holds_until_the_end_of_its_day(now, decision):
    assert evaluate(policy(_waived_until("2026-06-01")), subject(finding()), now).decision is decision  # fmt: skip


def test_an_expired_waiver_is_told():
    made = policy(_waived_until("2026-05-01", "2026-05-02T10:00:00+02:00"))
    told = [(r.code, r.line, r.message) for r in evaluate(made, subject(finding()), NOW).reasons]
    assert told == [
        ("finding", 5, "Title of secret/private-key: replace it"),
        ("waiver-expired", 11, "the waiver of me1 expired at 2026-05-02T08:00:00Z: why"),
    ]


def test_the_waiver_that_lasts_longest_counts():
    verdict = evaluate(policy(_waived_until("2026-05-01", "2026-08-01", "2026-07-01")), subject(finding()), NOW)  # fmt: skip
    assert [(w.owner, w.expires) for w in verdict.waived] == [("me1", "2026-08-02T00:00:00Z")]


def test_a_waiver_for_ever_is_none_that_overflows():
    verdict = evaluate(policy(_waived_until("9999-12-31")), subject(finding()), NOW)
    assert verdict.decision is Decision.ALLOW


def test_no_waiver_for_states():
    body = "waivers:\n  - {rule: scanned, reason: r, owner: o, expires: 2030-01-01}\n"
    assert reasons(body, subject(images=())) == [("deny", "scanned", "not-scanned")]


EXPRESSIONS = {
    "size": ("size(findings) > 1", True),
    "none": ("size(findings) > 2", False),
    "exists": ("findings.exists(f, f.severity == 'high' && f.path.startsWith('root/'))", True),
    "image": ("image.user == 'app' && image.name == 'registry.example/shop/web'", True),
    "coverage": ("coverage.layers_count == 2 && !('vulnerability' in coverage.not_looked_for)", True),
    "packages": ("packages.exists(p, p.type == 'deb')", False),
    "plus_in_a_text": ("findings.all(f, f.path.matches('[a-z/.]+') && f.line + 2 == 1)", True),
    "now": ("now > timestamp('2026-01-01T00:00:00Z')", True),
}  # fmt: skip


@pytest.mark.parametrize(("text", "want"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expression(text, want):
    body = f'rules:\n  - {{name: r, action: warn, expression: "{text}"}}\n'
    found = reasons(body, subject(finding(), finding(path="b")))
    assert found == ([("warn", "r", "expression")] if want else [])


FAILING = {
    "missing": "image.labels['x'] == 'y'",
    "types": "findings.exists(f, f.line > 'a')",
    "no_condition": "image.user",
    "budget": "findings.all(a, findings.all(b, findings.all(c, a.path != 'x')))",
    "expression_too_large": "'x'.matches('(((x{100}){100}){100})')",
}


@pytest.mark.parametrize("text", FAILING.values(), ids=FAILING)
def test_an_expression_that_fails_denies(text):
    body = f'rules:\n  - {{name: r, action: warn, expression: "{text}"}}\n'
    judged = subject(*(finding(path=str(n)) for n in range(60)))
    assert reasons(body, judged) == [("deny", "r", "expression-failed")]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("finding.path.endsWith('.pem')", [("warn", "r", "finding")]),
        ("finding.line == -1 && !finding.deleted && finding.ids == []", [("warn", "r", "finding")]),
        ("image.namespace == 'prod'", []),
        ("finding.evidence.verified == 'yes'", [("deny", "r", "expression-failed")]),
    ],
)
def test_when(text, want):
    body = f'rules:\n  - {{name: r, action: warn, match: {{}}, when: "{text}"}}\n'
    assert reasons(body, subject(finding())) == want


@pytest.mark.parametrize(
    ("narrowed", "want"),
    [
        ("match: {kind: secret}", [("warn", "r", "expression")]),
        ("match: {kind: secret}, except: {path: b}", []),
        ("match: {kind: secret}, when: finding.path == 'b'", []),
        ("match: {kind: secret}, when: finding.evidence.x == 'b'", [("deny", "r", "expression-failed")]),
        ("match: {kind: crypto}", []),
    ],
)  # fmt: skip
def test_an_expression_is_about_the_findings_that_its_rule_matches(narrowed, want):
    body = f"rules:\n  - {{name: r, action: warn, {narrowed}, expression: size(findings) > 1}}\n"
    judged = subject(finding(), finding(path="b"), finding("config/x", kind=Kind.CONFIG))
    assert reasons(body, judged) == want


def test_waived_findings_are_not_in_the_report_of_expressions():
    body = """
    rules:
      - {name: r, action: warn, expression: size(findings) > 0}
    waivers:
      - {rule: secret/private-key, reason: r, owner: o, expires: 2026-07-01}
    """
    assert reasons(body, subject(finding())) == []
    later = NOW + timedelta(days=60)
    assert reasons(body, subject(finding()), later) == [("warn", "r", "expression")]


def test_an_index_is_as_bad_as_its_worst_image():
    other = image(finding(), digest=INDEX[:-1] + "0")
    verdict = evaluate(policy(DENY_SECRETS), subject(digest=INDEX, images=(image(), other)), NOW)
    assert (verdict.decision, [r.image for r in verdict.reasons]) == (Decision.DENY, [other.digest])
    assert verdict.digest == INDEX


def test_the_order_of_findings_does_not_matter():
    body = (
        SCOPED
        + "waivers:\n  - {id: CVE-2026-3, reason: r, owner: o, expires: 2026-07-01}\n  - {id: CVE-2026-3, reason: r, owner: p, expires: 2026-07-01}\n"
    )
    found = [finding(path=f"{n}") for n in range(20)]
    found += [vulnerability(f"CVE-2026-{n}", kind=Kind.SECRET) for n in range(20)]
    made = policy(body)
    first = msgspec.json.encode(evaluate(made, subject(*found), NOW))
    for seed in range(5):
        random.Random(seed).shuffle(found)
        assert msgspec.json.encode(evaluate(policy(body), subject(*found), NOW)) == first
        assert msgspec.json.encode(evaluate(made, subject(*found), NOW)) == first


@pytest.mark.parametrize(
    ("reference", "name", "tag"),
    [
        ("registry.example/shop/web:1", "registry.example/shop/web", "1"),
        ("alpine", "docker.io/library/alpine", "latest"),
        (f"registry.example:5000/a@{DIGEST}", "registry.example:5000/a", ""),
        ("oci:/images/demo", "", ""),
        ("./demo", "", ""),
        ("dir:/srv", "", ""),
        ("docker-archive:x/y.tar", "", ""),
        ("not a reference", "", ""),
        (DIGEST, "", ""),
    ],
)
def test_subject_of_a_report(reference, name, tag):
    report = ScanReport(
        schema_version="1",
        scanner_version="1",
        fingerprint="f",
        reference=reference,
        digest=DIGEST,
        started_at="2026-06-01T11:00:00Z",
        seconds=1,
        stage_seconds={},
        state=ScanState.COMPLETE,
        images=(image(),),
        skipped=(),
    )
    judged = subject_of(report, namespace="n")
    assert (judged.name, judged.tag, judged.scanned_at) == (name, tag, NOW - timedelta(hours=1))


def test_base_layers_are_those_before_the_last_command_that_layers_follow():
    assert base_layers_count(image()) == 1
    assert base_layers_count(image(config=None)) == 0
    bare = msgspec.structs.replace(image().config, history=image().config.history[:2])
    assert base_layers_count(image(config=bare)) == 0
