"""``scanner check manifests``: places, report formats, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jsonschema
import pytest
from support.pods import GOOD, MANIFEST, changed
from support.scanning import environment

from scanner.discovery import report_formats
from scanner.reports.json import schema

BAD = json.dumps(changed(("spec.hostPID", True)))


@pytest.fixture
def here(tmp_path, monkeypatch):
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def check(home, *words, stdin=""):
    done = subprocess.run(
        [sys.executable, "-m", "scanner.cli.main", "check", "manifests", *map(str, words)],
        env=environment(home),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def report(home, *words, stdin=""):
    code, out, err = check(home, *words, "--format", "json", stdin=stdin)
    assert not err
    return code, json.loads(out)


@pytest.mark.parametrize("name", sorted(report_formats()))
def test_every_format(here, name):
    (here / "web.yaml").write_text(MANIFEST)
    code, out, err = check(here.parent, "web.yaml", "--format", name)
    assert (code, err) == (0, "")
    assert "web.yaml" in out
    if report_formats()[name].media_type.endswith("json"):
        assert json.loads(out)


def test_the_json_report_is_as_its_schema_says(here):
    _, found = report(here.parent, "-", stdin=f"{MANIFEST}---\na: [")
    assert found["state"] == "partial"
    jsonschema.validate(found, schema())


def test_sarif_points_at_file_and_line(here):
    (here / "deploy").mkdir()
    (here / "deploy/web.yaml").write_text(MANIFEST)
    code, out, _ = check(here.parent, here / "deploy", "--format", "sarif")
    (run,) = json.loads(out)["runs"]
    (result,) = [r for r in run["results"] if r["ruleId"] == "pod/host-namespace"]
    place = result["locations"][0]["physicalLocation"]
    assert code == 0
    assert place["artifactLocation"]["uri"] == "deploy/web.yaml"
    assert place["region"]["startLine"] == 9
    assert ": deploy/web.yaml." in result["message"]["text"]
    assert len(result["partialFingerprints"]["primaryLocationLineHash"]) == len("f" * 32 + ":1")


def test_standard_input(here):
    code, found = report(here.parent, "-", stdin=MANIFEST)
    (image,) = found["images"]
    assert (code, found["reference"], found["state"]) == (
        0,
        "manifests in standard input",
        "complete",
    )
    assert {f["path"] for f in image["findings"]} == {"stdin"}
    assert image["platform"] == {
        "os": "kubernetes",
        "architecture": "v1.37",
        "variant": "restricted",
    }


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        pytest.param(json.dumps(GOOD), ["--fail-on", "info"], 0, id="clean"),
        pytest.param(BAD, [], 0, id="findings_alone_do_not_fail"),
        pytest.param(BAD, ["--fail-on", "high"], 1, id="denied"),
        pytest.param(BAD, ["--fail-on", "critical"], 0, id="not_that_severe"),
        pytest.param(f"{BAD}\n---\na: [", ["--fail-on", "high"], 1, id="denied_before_incomplete"),
        pytest.param(f"{BAD}\n---\na: [", [], 3, id="incomplete"),
        pytest.param(f"{BAD}\n---\na: 1", [], 0, id="values_beside"),
        pytest.param("", [], 4, id="empty"),
        pytest.param("a: [", ["--fail-on", "info"], 4, id="broken"),
        pytest.param("replicas: 3", [], 4, id="values"),
    ],
)
def test_exit_code(here, text, options, code):
    assert check(here.parent, "-", *options, stdin=text)[0] == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.yaml"], "missing.yaml: No such file or directory"),
        (["-", "--version", "v1.24"], "'v1.24' is not latest, nor v1.25 or newer"),
        (["-", "--version", "newest"], "'newest' is not latest"),
        (["-", "--level", "privileged"], "'privileged' is not one of"),
    ],
)
def test_usage(here, words, said):
    code, _, err = check(here.parent, *words)
    assert code == 2
    assert said in err


def test_level_and_version(here):
    pod = json.dumps(
        changed(
            ("sc.capabilities", None),
            ("pod.sysctls", [{"name": "net.ipv4.tcp_rmem", "value": "1"}]),
        )
    )

    def rules(*options):
        _, found = report(here.parent, "-", *options, stdin=pod)
        return [f["rule_id"] for f in found["images"][0].get("findings", ())]

    assert rules() == ["pod/capabilities-kept"]
    assert rules("--level", "baseline") == []
    assert rules("--version", "v1.31") == ["pod/capabilities-kept", "pod/sysctl"]
    assert rules("--version", "1.99", "--level", "baseline") == []


def test_directory(here):
    tree = {
        "b/web.yaml": MANIFEST,
        "a.json": BAD,
        "broken.yml": "a: [",
        "values.yaml": "replicas: 1",
        "README.md": "#",
        ".git/config.yaml": BAD,
    }
    for name, text in tree.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text)
    (here.parent / "outside.yaml").write_text(BAD)
    (here / "link.yaml").symlink_to(here.parent / "outside.yaml")
    (here / "dangling.yaml").symlink_to(here / "nothing")
    (here / "loop.yaml").symlink_to(here / "loop.yaml")
    os.mkfifo(here / "pipe.yaml")
    code, found = report(here.parent, ".")
    (image,) = found["images"]
    assert (code, image["state"]) == (3, "partial")
    assert {f["path"] for f in image["findings"]} == {"a.json", "b/web.yaml"}
    assert sorted(issue["path"] for issue in image["coverage"]["issues"]) == [
        "broken.yml:2",
        "dangling.yaml",
        "loop.yaml",
    ]
    assert {(issue["path"], issue["reason"]) for issue in found["skipped"]} == {
        (".git", "a hidden directory"),
        ("README.md", "its name does not end in .json, .yaml, .yml"),
        ("link.yaml", "a link that leads out of the directory"),
        ("pipe.yaml", "no regular file"),
        ("values.yaml:1", "no manifest: it has no kind"),
    }
    assert image["coverage"]["files_count"] == 4
    assert image["coverage"]["read_count"] == 2


def test_an_empty_directory_is_not_clean(here):
    code, out, _ = check(here.parent, ".")
    assert code == 4
    assert "there is no Kubernetes object: it is empty" in out


def test_the_same_files_have_the_same_digest(here):
    (here / "web.yaml").write_text(MANIFEST)
    first, second = (report(here.parent, ".")[1] for _ in range(2))
    assert first["digest"] == second["digest"]
    assert first["fingerprint"] == second["fingerprint"]
    (here / "web.yaml").write_text(f"{MANIFEST}\n")
    assert report(here.parent, ".")[1]["digest"] != first["digest"]


def test_output_file(here):
    code, out, err = check(
        here.parent, "-", "-o", "report.json", "--format", "json", stdin=MANIFEST
    )
    assert (code, out, err) == (0, "", "")
    assert json.loads((here / "report.json").read_text())["state"] == "complete"


def test_the_table(here):
    (here / "web.yaml").write_text(f"{MANIFEST}---\nkind: Thing\napiVersion: x.example/v1\n")
    _, out, _ = check(here.parent, "web.yaml")
    assert "\nkubernetes/v1.37/restricted\n" in out
    assert (
        "where     web.yaml:9  (object Deployment/shop/web; field spec.template.spec.hostPID" in out
    )
    assert "    where     web.yaml:11\n" in out
    assert "  read      1 file, 2 objects, " in out
    assert "What was not scanned:" in out
    assert "distribution" not in out
    assert "layer" not in out
