"""Documents that are wrong: each defect with its line and what was expected; hostile ones within bounds."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from scanner.app_policy import default_policy_text
from scanner.errors import SettingsError
from scanner.policy.cases import read_cases
from scanner.policy.cases import schema as cases_schema
from scanner.policy.parse import parse_document, read_document, schema
from scanner.yaml_nodes import parse_yaml, plain_value

SCHEMAS = Path(__file__).parents[2] / "docs/schema"
HEAD = "version: 1\nname: x\n"
FULL = """\
version: 1
name: full
description: Every key there is.
require:
  scanned: {action: deny, within_days: 7.5}
  coverage: {action: ignore}
  advisories: {within_hours: 48, action: warn}
  signed: {by: [SHA256:abc], action: deny}
rules:
  - name: everything
    action: warn
    message: a message
    match:
      kind: [vulnerability, secret]
      severity: low
      rule: secret/*
      id: [CVE-*, GHSA-*]
      package: pkg:deb/debian/openssl
      path: usr/**
      layer: application
      deleted: false
      fix_available: true
      fix_age_days: 30
      known_exploited: true
      exploit_probability: .5
    except:
      - {path: usr/share/**}
    when: finding.severity == "high"
  - name: report
    action: deny
    expression: size(findings) > 3
scopes:
  - name: production
    match: {image: [registry.example/shop/**], namespace: prod-*}
    require: {scanned: {within_days: 1}}
    rules:
      - {name: everything, action: ignore}
waivers:
  - finding: 0123456789abcdef0123456789abcdef
    id: CVE-2026-1
    rule: vulnerability/CVE-2026-1
    package: [pkg:deb/**]
    path: ["**"]
    scope: {image: registry.example/**}
    reason: not reachable
    owner: team@shop.example
    expires: 2026-12-31
  - {id: CVE-2026-2, reason: r, owner: o, expires: "2026-12-31T23:59:59+02:00"}
vex:
  - {file: vex.json, author: Shop}
"""


def problems(text: str) -> list[tuple[int, str]]:
    document, found = read_document(text)
    assert (document is None) is bool(found)
    return [(p.line, p.message) for p in found]


def test_every_key_is_read():
    assert problems(FULL) == []
    assert problems(default_policy_text()) == []


WRONG = {
    "empty": ("", [(1, "policy: the key name is missing"), (1, "policy: the key version is missing")]),
    "a_list": ("- a", [(1, "policy: expected keys: version, name, description, require, rules, scopes, waivers, vex, found a list")]),
    "version": ("version: 2\nname: x\n", [(1, "version: expected 1, found '2'")]),
    "name": ("version: 1\nname: Shop Policy\n", [(2, "name: expected lower-case letters, digits and -, found 'Shop Policy'")]),
    "unknown_key": (HEAD + "rulez: []\n", [(3, "policy: unknown key 'rulez', expected one of version, name, description, require, rules, scopes, waivers, vex")]),
    "action": (HEAD + "rules:\n  - {name: a, action: block, match: {}}\n", [(4, "action: expected one of deny, warn, ignore, found 'block'")]),
    "kind": (HEAD + "rules:\n  - name: a\n    action: deny\n    match:\n      kind: [secret, cve]\n", [(7, "kind: expected one of vulnerability, secret, crypto, config, privilege, found 'cve'")]),
    "flag": (HEAD + "rules:\n  - {name: a, action: deny, match: {deleted: yes}}\n", [(4, "deleted: expected true or false, found 'yes'")]),
    "number": (HEAD + "rules:\n  - {name: a, action: deny, match: {exploit_probability: 50}}\n", [(4, "exploit_probability: expected a number from 0 to 1, found '50'")]),
    "glob": (HEAD + "rules:\n  - {name: a, action: deny, match: {path: usr**}}\n", [(4, "path: 'usr**': ** stands alone between slashes, as in a/**/b")]),
    "nothing_to_match": (HEAD + "rules:\n  - {name: a, action: deny}\n", [(4, "rules: expected match or expression: what it applies to")]),
"when_of_nothing": (HEAD + "rules:\n  - {name: a, action: deny, expression: 'true', when: 'true'}\n", [(4, "rules: when and except narrow match: the key match is missing")]),
    "cel_filter": (HEAD + "rules:\n  - {name: a, action: deny, expression: 'size(findings.filter(f, true)) > 1'}\n", [(4, "expression: filter copies lists: narrow findings by match, or ask with exists or all")]),
    "cel_map_in_disguise": (HEAD + "rules:\n  - name: a\n    action: deny\n    expression: |\n      size(findings . // '\n      map (f, f)) > 1\n", [(6, "expression: map copies lists: narrow findings by match, or ask with exists or all")]),
    "cel_concatenation": (HEAD + "rules:\n  - {name: a, action: deny, expression: image.name + image.tag == 'x'}\n", [(4, "expression: + adds numbers and times only: write a number, size(…), int(…) or duration(…) on its right")]),
    "cel_raw_text": (HEAD + "rules:\n  - {name: a, action: deny, expression: 'r\"\\\" == image.tag + image.tag + \"\"'}\n", [(4, "expression: + adds numbers and times only")]),
    "twice": (HEAD + "rules:\n  - {name: a, action: deny, match: {}}\n  - {name: a, action: warn, match: {}}\n", [(5, "rule a a second time: it is in line 4")]),
    "key_twice": (HEAD + "rules: []\nrules: []\n", [(4, "'rules' a second time: it is in line 3")]),
    "waiver_without": (HEAD + "waivers:\n  - {id: CVE-1, reason: r}\n", [(4, "waivers: the key expires is missing"), (4, "waivers: the key owner is missing")]),
    "waiver_of_nothing": (HEAD + "waivers:\n  - {reason: r, owner: o, expires: 2026-01-01}\n", [(4, "waivers: expected finding, id or rule: what is waived")]),
    "no_such_day": (HEAD + "waivers:\n  - {id: C, reason: r, owner: o, expires: 2026-02-30}\n", [(4, "expires: expected a day like 2027-01-31, or a moment like 2027-01-31T12:00:00Z, found '2026-02-30'")]),
    "fingerprint": (HEAD + "waivers:\n  - {finding: abc, reason: r, owner: o, expires: 2026-01-01}\n", [(4, "finding: expected a finding's fingerprint (32 hex digits), found 'abc'")]),
    "scope_of_nothing": (HEAD + "scopes:\n  - {name: a, match: {}}\n", [(4, "match: expected image, namespace or both, found keys and values")]),
    "signed_by_nobody": (HEAD + "require:\n  signed: {by: []}\n", [(4, "by: expected at least one item, found a list")]),
    "nothing": (HEAD + "rules:\n  - {name: , action: deny, match: {}}\n", [(4, "name: expected lower-case letters, digits and -, found nothing")]),
    "cel_syntax": (HEAD + "rules:\n  - name: a\n    action: deny\n    expression: size(\n", [(6, "expression: column 6: Syntax error: mismatched input '<EOF>' expecting")]),
    "cel_unknown": (HEAD + "rules:\n  - {name: a, action: deny, expression: nosuch == 1}\n", [(4, "expression: column 1: undeclared reference to 'nosuch' (in container '')")]),
    "cel_no_condition": (HEAD + "rules:\n  - {name: a, action: deny, expression: size(findings)}\n", [(4, "expression: expected a condition, found int")]),
    "cel_wrong_place": (HEAD + "rules:\n  - {name: a, action: deny, match: {}, when: size(findings) > 1}\n", [(4, "when: column 6: undeclared reference to 'findings' (in container '')")]),
    "cel_unknown_fact": (HEAD + "rules:\n  - {name: a, action: deny, match: {}, when: finding.sevrity == 'high'}\n", [(4, "when: a finding has no 'sevrity', expected one of rule, kind")]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "want"), WRONG.values(), ids=WRONG)
def test_wrong(text, want):
    found = problems(text)
    assert [line for line, _ in found] == [line for line, _ in want]
    assert all(told.startswith(begin) for (_, told), (_, begin) in zip(found, want, strict=True)), found  # fmt: skip


def test_every_defect_is_told_at_once():
    text = HEAD + "rules:\n  - {name: A, action: no, match: {kind: x}}\n  - {name: b}\nscopes: 3\n"
    assert [line for line, _ in problems(text)] == [4, 4, 4, 5, 5, 6]


def test_the_error_names_file_and_line():
    with pytest.raises(SettingsError, match=r"p\.yaml:4: action: expected .* \(and 1 more\)$"):
        parse_document(HEAD + "rules:\n  - {name: a, action: x, match: 3}\n", "p.yaml")


HOSTILE = {
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "merge": "a: {b: 1}\nc:\n  <<: {d: 1}\n",
    "python_object": "!!python/object/apply:os.system ['true']\n",
    "own_tag": "a: !x 1\n",
    "deep_flow": "[" * 100_000,
    "deep_block": "- " * 10_000 + "x",
    "deep_mapping": "{a: " * 5_000,
    "large": "#" * (4 * 1024 * 1024 + 1),
    "many_values": "[" + "0," * 250_000 + "]",
    "two_documents": "a: 1\n---\nb: 1\n",
    "nul": "a: \0\n",
    "surrogate": "a: \ud800\n",
    "control": "a: \x07\n",
    "tab": "\ta: 1\n",
    "unclosed": "a: [1, 2\n",
    "list_as_key": "? [a]\n: b\n",
    "colon": "a: b: c\n",
    "directive": "%YAML 9.9\n---\na: 1\n",
    "long_name": HEAD.replace("x", "x" * 100_000),
    "long_glob": HEAD + f"rules: [{{name: a, action: deny, match: {{path: {'*a' * 5_000}}}}}]\n",
    "long_expression": HEAD + f"rules: [{{name: a, action: deny, expression: {'1' + '+1' * 5_000}}}]",
    "deep_expression": HEAD + f"rules: [{{name: a, action: deny, expression: '{'(' * 900}1{')' * 900}'}}]",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("read", [read_document, read_cases], ids=["policy", "cases"])
def test_hostile(read, text):
    document, found = read(text)
    assert document is None
    assert found
    assert all(p.line > 0 and len(p.message) < 600 for p in found)


def test_words_stay_words():
    node = parse_yaml(
        "a: no\nb: 0x10\nc: 1_000\nd: 2026-01-01\ne: '1'\nf: 1\ng: 1e3\nh: ~\ni: .5\n"
    )
    assert plain_value(node) == {
        "a": "no", "b": "0x10", "c": "1_000", "d": "2026-01-01", "e": "1", "f": 1, "g": 1000.0,
        "h": None, "i": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "made"), [("policy", schema), ("policy-test", cases_schema)], ids=["policy", "cases"])  # fmt: skip
def test_published_schema_is_that_of_the_reader(name, made):
    published = json.loads((SCHEMAS / f"{name}-v1.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    assert published == json.loads(json.dumps(made()))


BY_READER_ONLY = {"twice", "glob", "no_such_day"} | {n for n in WRONG if n.startswith("cel_")}
"""What a schema cannot say."""


@pytest.mark.parametrize("text", [FULL, default_policy_text()], ids=["full", "default"])
def test_the_schema_takes_what_the_reader_takes(text):
    jsonschema.validate(plain_value(parse_yaml(text)), schema())


@pytest.mark.parametrize(
    "text", [v[0] for k, v in WRONG.items() if k not in BY_READER_ONLY | {"key_twice"}],
    ids=[k for k in WRONG if k not in BY_READER_ONLY | {"key_twice"}],
)  # fmt: skip
def test_the_schema_refuses_what_the_reader_refuses(text):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain_value(parse_yaml(text)), schema())
