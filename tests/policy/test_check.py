"""What is odd in a policy that is right."""

from __future__ import annotations

import pytest
from support.policies import NOW

from scanner.app_policy import default_policy_text, rule_ids
from scanner.policy.check import oddities
from scanner.policy.parse import parse_document

HEAD = "version: 1\nname: x\n"
RULE = "rules:\n  - name: a\n    action: deny\n    match: "
ODD = {
    "facts_of_another_kind": (RULE + "{kind: secret, known_exploited: true}\n", ["6: rule a can never match: known_exploited is about vulnerabilities, kind is not"]),
    "age_of_no_fix": (RULE + "{fix_available: false, fix_age_days: 3}\n", ["6: rule a can never match: fix_age_days without a fix"]),
    "settings_of_the_base": (RULE + "{layer: base, path: config:*}\n", ["6: rule a can never match: the image's own settings are not the base image's"]),
    "except_all": (RULE + "{kind: secret, severity: high}\n    except: {kind: [secret, crypto]}\n", ["4: rule a can never match: its except covers its match"]),
    "no_such_rule": (RULE + "{rule: [config/rootuser, secret/*]}\n", ["6: rule a: no rule id is like config/rootuser"]),
    "hidden": (RULE + "{kind: secret}\n  - {name: b, action: warn, match: {kind: secret, severity: high}}\n", ["7: rule b never gives a reason: a (line 4) matches all that it does"]),
    "hidden_by_a_later_denial": ("rules:\n  - {name: a, action: warn, match: {kind: secret, severity: high}}\n  - {name: b, action: deny, match: {kind: [secret, crypto], severity: medium}}\n", ["4: rule a never gives a reason: b (line 5) denies all that it matches"]),
    "ignores_nothing": ("scopes:\n  - name: s\n    match: {namespace: x}\n    rules: [{name: nosuch, action: ignore}]\n", ["6: rule nosuch switches off nothing: no rule before it has that name"]),
    "scope_of_nothing": ("scopes:\n  - {name: s, match: {namespace: x}}\n", ["4: scope s changes nothing: it has no rules and requires nothing"]),
    "no_registry": ("scopes:\n  - {name: s, match: {image: [nginx, shop/**]}, require: {coverage: {}}}\n", ["4: image nginx can never match: nginx is no registry (docker.io/library/… on Docker Hub)", "4: image shop/** can never match: shop is no registry (docker.io/library/… on Docker Hub)"]),
    "capitals": ("scopes:\n  - {name: s, match: {image: Registry.Example/**}, require: {coverage: {}}}\n", ["4: image Registry.Example/** can never match: names are in small letters"]),
    "tag": ("waivers:\n  - {id: CVE-1, reason: r, owner: o, expires: 2027-01-01, scope: {image: 'localhost/a:1'}}\n", ["4: image localhost/a:1 can never match: a repository has neither tag nor digest"]),
    "any_image": ("scopes:\n  - {name: s, match: {image: ['**', '*/library/nginx', 'a.example:5000/x']}, require: {coverage: {}}}\n", []),
    "leading_slash": (RULE + "{path: [/usr/**]}\n", ["6: rule a can never match: paths have no leading slash, /usr/** has"]),
    "expired": ("waivers:\n  - {id: CVE-1, reason: r, owner: o, expires: 2026-05-31}\n", ["4: the waiver of CVE-1 has expired: it waives nothing"]),
    "expires_today": ("waivers:\n  - {id: CVE-1, reason: r, owner: o, expires: 2026-06-01}\n", ["4: the waiver of CVE-1 expires in less than a day: ask o"]),
    "expires_soon": ("waivers:\n  - {id: CVE-1, reason: r, owner: o, expires: 2026-06-10}\n", ["4: the waiver of CVE-1 expires in 9 days: ask o"]),
    "expires_later": ("waivers:\n  - {id: CVE-1, reason: r, owner: o, expires: 2026-06-20}\n", []),
    "stricter_is_not_hidden": (RULE + "{severity: high}\n  - {name: b, action: deny, match: {severity: medium}}\n", []),
    "warning_does_not_hide": ("rules:\n  - {name: a, action: warn, match: {}}\n  - {name: b, action: deny, match: {kind: secret}}\n", []),
    "condition_does_not_hide": ("rules:\n  - {name: a, action: deny, match: {}, when: finding.deleted}\n  - {name: b, action: deny, match: {kind: secret}}\n", []),
    "a_vulnerability_by_id": (RULE + "{rule: vulnerability/CVE-2027-1}\n", []),
}  # fmt: skip


@pytest.mark.parametrize(("body", "want"), ODD.values(), ids=ODD)
def test_odd(body, want):
    document = parse_document(HEAD + body, "x")
    found = oddities(document, NOW, rule_ids())
    assert [f"{p.line}: {p.message}" for p in found] == want


def test_nothing_is_odd_in_the_default_policy():
    assert oddities(parse_document(default_policy_text(), "default"), NOW, rule_ids()) == []
