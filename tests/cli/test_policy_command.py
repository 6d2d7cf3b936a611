"""``scanner policy`` and ``scanner scan --policy``: what they print, and how they leave."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest
from support.demo_images import write_demo
from support.scanning import environment

from scanner.reports.json import schema

WRONG = "version: 1\nname: x\nrules:\n  - {name: a, action: block, match: {}}\nwavers: []\n"
ODD = """\
version: 1
name: x
rules: [{name: a, action: deny, match: {rule: config/rootuser}}]
waivers: [{id: CVE-1, reason: r, owner: o, expires: 2020-01-01}]
"""
WAIVED = """\
version: 1
name: shop
rules: [{name: keys, action: deny, match: {rule: secret/private-key}}]
waivers: [{rule: secret/private-key, reason: a demo, owner: me, expires: 9999-12-31}]
"""
VEX = '{"@context": "https://openvex.dev/ns/v0.2.0", "author": "Shop", "statements": []}'
UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = write_demo(tmp_path_factory.mktemp("policy"))
    files = {"wrong": WRONG, "odd": ODD, "waived": WAIVED}
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    (directory / "latin.yaml").write_bytes(b"version: 1\nname: x\ndescription: \xe9\n")
    (directory / "vex.json").write_text(VEX)
    for name, author in (("vex", "Shop"), ("other", "Vendor")):
        text = f"version: 1\nname: x\nvex: [{{file: vex.json, author: {author}}}]\n"
        (directory / f"{name}.yaml").write_text(text)
    return directory


@pytest.fixture(scope="module")
def run(place, tmp_path_factory):
    home = environment(tmp_path_factory.mktemp("home"))

    def command(*words):
        done = subprocess.run(
            [sys.executable, "-m", "scanner.cli.main", *words],
            cwd=place, env=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return command


def test_show_is_a_policy_that_check_finds_right(run, place):
    code, text, _ = run("policy", "show")
    (place / "copy.yaml").write_text(text)
    assert code == 0
    assert run("policy", "check", "copy.yaml") == (
        0,
        "copy.yaml: policy default is right: 13 rules, 0 scopes, 0 waivers, 0 warnings\n",
        "",
    )


def test_check_tells_every_defect(run):
    code, text, _ = run("policy", "check", "wrong.yaml")
    assert (code, text.splitlines()) == (
        2,
        [
            "wrong.yaml:4: error: action: expected one of deny, warn, ignore, found 'block'",
            "wrong.yaml:5: error: policy: unknown key 'wavers', expected one of version, name, description, require, rules, scopes, waivers, vex",
        ],
    )  # fmt: skip


def test_check_warns(run):
    code, text, _ = run("policy", "check", "odd.yaml")
    assert (code, text.splitlines()) == (
        0,
        [
            "odd.yaml:3: warning: rule a: no rule id is like config/rootuser",
            "odd.yaml:4: warning: the waiver of CVE-1 has expired: it waives nothing",
            "odd.yaml: policy x is right: 1 rules, 0 scopes, 1 waivers, 2 warnings",
        ],
    )


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("nosuch.yaml", "nosuch.yaml: No such file or directory"),
        ("latin.yaml", "latin.yaml:3: not UTF-8"),
        ("wrong.yaml", "wrong.yaml:4: action: expected one of deny, warn, ignore, found 'block' (and 1 more)"),
        ("other.yaml", "vex.json: expected author 'Vendor', found 'Shop'"),
        (".", "Is a directory"),
    ],
)  # fmt: skip
def test_a_scan_with_a_wrong_policy_does_not_begin(run, file, told):
    code, text, errors = run("scan", "oci:demo", "--policy", file)
    assert (code, text) == (2, "")
    assert told in errors


def test_vex_is_read_from_the_policys_directory(run):
    assert run("policy", "check", "vex.yaml")[0] == 0


def test_a_denied_scan_says_so_in_its_report(run):
    code, text, _ = run("scan", "oci:demo", "--policy", "default", "--format", "json")
    report = json.loads(text)
    jsonschema.validate(report, schema())
    verdict = report["verdict"]
    assert (code, report["schema_version"], verdict["decision"]) == (1, "1.1", "deny")
    assert [(r["rule"], r["code"]) for r in verdict["reasons"]] == [
        ("credentials", "finding"),
        ("coverage", "not-looked-for"),
    ]


def test_the_setting_names_the_policy(run, place):
    (place / "scanner.toml").write_text('[policy]\nfile = "default"\n')
    code, text, _ = run("scan", "oci:demo", "--config", "scanner.toml")
    assert (code, " DENY  by policy default" in text) == (1, True)
    code, text, _ = run("scan", "oci:demo", "--config", "scanner.toml", "--policy", "waived.yaml")
    assert (code, " ALLOW  by policy shop" in text) == (0, True)


def test_without_a_policy_there_is_no_verdict(run):
    code, text, _ = run("scan", "oci:demo", "--format", "json")
    assert (code, "verdict" in json.loads(text)) == (0, False)


def test_a_waived_scan_is_clean(run):
    code, text, _ = run("scan", "oci:demo", "--policy", "waived.yaml")
    assert code == 0
    assert " ALLOW  by policy shop\n  waived    1 finding of keys\n" in text


def test_a_warning_leaves_the_exit_code_alone(run):
    code, text, _ = run("scan", "docker-archive:broken.tar", "--policy", "default")
    assert (code, " WARN  by policy default" in text) == (3, True)


def test_explain_an_image_scanned_before(run):
    _, text, _ = run("scan", "oci:demo", "--format", "json")
    digest = json.loads(text)["digest"]
    code, text, _ = run("policy", "explain", digest, "--policy", "waived.yaml")
    assert code == 0
    assert "ALLOW\n\nWAIVED\n  keys: secret/private-key in root/deploy.pem [" in text
    assert "by waiver line 4 of me until 9999-12-31T23:59:59Z: a demo\n" in text
    assert "      3  deny         1        0       1  keys\n" in text
    code, text, _ = run("policy", "explain", digest, "--format", "json")
    explained = json.loads(text)
    assert (code, explained["verdict"]["decision"]) == (1, "deny")
    assert [r["name"] for r in explained["rules"] if r["reasons_count"]] == ["credentials"]


@pytest.mark.parametrize("image", [UNKNOWN, f"registry.example/a@{UNKNOWN}", "registry.example/a:1"])  # fmt: skip
def test_explain_what_was_never_scanned(run, image):
    code, text, _ = run("policy", "explain", image)
    assert (code, "deny  scanned line 8: the image has not been scanned" in text) == (1, True)


def test_tests_of_a_directory(run):
    code, text, _ = run("policy", "test", ".")
    assert (code, text.splitlines()) == (
        1,
        [
            "PASS  policy_test.yaml:5  a private key denies",
            "FAIL  policy_test.yaml:9  a private key is fine",
            "        expected allow, was deny, because of credentials",
            "2 tests, 1 passed, 1 failed",
        ],
    )


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("rootfs", "rootfs: expected 1 to 1,000 files that end in test.yaml, found 0"),
        ("odd.yaml", "odd.yaml:1: tests: the key cases is missing"),
        ("nosuch", "does not exist"),
    ],
)
def test_tests_that_are_none(run, path, told):
    code, _, errors = run("policy", "test", path)
    assert code == 2
    assert told in errors
