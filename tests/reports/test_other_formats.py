"""CycloneDX, SPDX and SARIF: compared whole, the same for the same report, and nothing left out in silence."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest
from support.golden import assert_golden
from support.sample_report import HOSTILE, finding, sample_report

from scanner.model import Kind, ScanReport, ScanState, Severity
from scanner.reports import cyclonedx, sarif, spdx

GOLDEN = Path(__file__).parent / "golden"
FORMATS = pytest.mark.parametrize(
    "format_module", [cyclonedx, spdx, sarif], ids=lambda m: m.FORMAT.name
)


def report_with_everything() -> ScanReport:
    report = sample_report()
    first = report.images[0]
    packages = tuple(
        msgspec.structs.replace(p, licenses=("MIT", f"own licence {HOSTILE}"))
        for p in first.packages
    )
    known = finding(
        "vulnerability/CVE-2024-0001",
        Severity.HIGH,
        "var/lib/dpkg/status",
        kind=Kind.VULNERABILITY,
        package=packages[0].purl,
        evidence={"vulnerability": "CVE-2024-0001", "fixed_version": "5.2.15-3"},
    )
    image = msgspec.structs.replace(first, packages=packages, findings=(*first.findings, known))
    return msgspec.structs.replace(
        report, reference="reg.example/team/app:1.2", images=(image, *report.images[1:])
    )


def written(module, report: ScanReport) -> str:
    stream = io.StringIO()
    module.FORMAT.write(report, stream, False, 80)  # noqa: FBT003 - colour
    return stream.getvalue()


def single(report: ScanReport) -> ScanReport:
    image = report.images[0]
    return msgspec.structs.replace(report, digest=image.digest, images=(image,), state=image.state)


@FORMATS
def test_golden(format_module):
    text = written(format_module, report_with_everything())
    assert_golden(text, GOLDEN / f"report.{format_module.FORMAT.name}.json")


@FORMATS
def test_same_report_same_bytes(format_module):
    again = msgspec.json.decode(msgspec.json.encode(report_with_everything()), type=ScanReport)
    assert written(format_module, again) == written(format_module, report_with_everything())


@FORMATS
def test_hostile_texts_are_data(format_module):
    text = written(format_module, sample_report())
    assert all(c.isprintable() or c == "\n" for c in text)
    json.loads(text)


@FORMATS
def test_an_image_listed_twice_is_told_once(format_module):
    report = report_with_everything()
    twice = msgspec.structs.replace(report, images=(*report.images, report.images[0]))
    assert written(format_module, twice) == written(format_module, report)


def test_cyclonedx_refs_are_unique_and_lead_somewhere():
    for report in (report_with_everything(), single(report_with_everything())):
        document = cyclonedx.document(report)
        root = document["metadata"]["component"]["bom-ref"]
        refs = [root, *(c["bom-ref"] for c in document["components"])]
        assert len(refs) == len(set(refs))
        used = {r for d in document["dependencies"] for r in (d["ref"], *d["dependsOn"])}
        used |= {a["ref"] for v in document["vulnerabilities"] for a in v["affects"]}
        assert used <= set(refs)


@pytest.mark.parametrize(
    ("state", "aggregate"),
    [
        (ScanState.COMPLETE, "complete"),
        (ScanState.PARTIAL, "incomplete"),
        (ScanState.FAILED, "unknown"),
    ],
)
def test_cyclonedx_says_whether_it_is_all(state, aggregate):
    report = single(sample_report())
    image = msgspec.structs.replace(report.images[0], state=state)
    document = cyclonedx.document(msgspec.structs.replace(report, images=(image,)))
    assert [c["aggregate"] for c in document["compositions"]] == [aggregate]


def test_spdx_ids_are_unique_and_lead_somewhere():
    document = spdx.document(report_with_everything())
    ids = [p["SPDXID"] for p in document["packages"]]
    assert len(ids) == len(set(ids))
    used = {r["relatedSpdxElement"] for r in document["relationships"]}
    assert used == set(ids)


def test_sarif_has_every_finding_and_what_was_not_seen():
    report = report_with_everything()
    document = sarif.document(report)
    for image, run in zip(report.images, document["runs"], strict=True):
        assert len(run["results"]) == len(image.findings)
        rules = run["tool"]["driver"]["rules"]
        assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
        notes = run["invocations"][0]["toolExecutionNotifications"]
        seen = image.coverage
        assert len(notes) == len(seen.issues) + len(seen.limits) + len(seen.not_looked_for)


def test_sarif_has_a_rule_for_each_severity():
    report = single(sample_report())
    two = (finding("config/x", Severity.HIGH, "a"), finding("config/x", Severity.LOW, "b"))
    image = msgspec.structs.replace(report.images[0], findings=two)
    (run,) = sarif.document(msgspec.structs.replace(report, images=(image,)))["runs"]
    assert [r["ruleId"] for r in run["results"]] == ["config/x/high", "config/x/low"]


def test_sarif_says_what_it_leaves_out():
    report = single(sample_report())
    many = tuple(finding("config/x", Severity.LOW, f"{n}") for n in range(25_002))
    image = msgspec.structs.replace(report.images[0], findings=many)
    (run,) = sarif.document(msgspec.structs.replace(report, images=(image,)))["runs"]
    assert len(run["results"]) == 25_000
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert notes[-1]["message"]["text"] == "2 findings more, the least severe, are left out"
