"""Every YAML example of docs/policy.md is a policy that is right, or cases that pass; every reason is documented."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
from support.policies import NOW

from scanner.app_policy import read_policy, rule_ids
from scanner.model import ReasonCode
from scanner.policy._expressions import FINDING_KEYS
from scanner.policy.cases import read_cases, run_case
from scanner.policy.cases import schema as cases_schema
from scanner.policy.check import oddities
from scanner.policy.parse import read_document, schema
from scanner.yaml_nodes import parse_yaml, plain_value

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/policy.md").read_text()
HOW_TO = (REPOSITORY / "docs/how-to/write-a-policy.md").read_text()
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall(PAGE) + _BLOCK.findall(HOW_TO)
POLICIES = [block for block in BLOCKS if "cases:" not in block]
CASES = [block for block in BLOCKS if "cases:" in block]


@pytest.mark.parametrize("text", POLICIES, ids=lambda t: re.search(r"name: (\S+)", t)[1])
def test_a_policy_is_right_and_not_odd(text):
    document, problems = read_document(text)
    assert problems == []
    assert oddities(document, NOW, rule_ids()) == []
    jsonschema.validate(plain_value(parse_yaml(text)), schema())


@pytest.mark.parametrize("text", CASES, ids=["default", "own"])
def test_cases_pass(text, tmp_path):
    cases, problems = read_cases(text)
    assert problems == []
    jsonschema.validate(plain_value(parse_yaml(text)), cases_schema())
    own = tmp_path / "policy.yaml"
    own.write_text(next(block for block in POLICIES if "name: shop" in block and "scopes" in block))
    policy = read_policy("default" if cases.policy == "default" else str(own))
    outcomes = [run_case(policy, case, cases.now) for case in cases.cases]
    assert [o.failure for o in outcomes] == [""] * len(outcomes)
    assert outcomes


def test_every_reason_is_documented():
    assert [code for code in ReasonCode if f"`{code}`" not in PAGE] == []


def test_every_key_is_documented():
    assert [k for k in FINDING_KEYS if f"`{k}`" not in PAGE] == []
    match = schema()["properties"]["rules"]["items"]["properties"]["match"]["properties"]
    assert [k for k in match if f"| `{k}` |" not in PAGE] == []
