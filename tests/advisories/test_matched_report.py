"""A report with what is known of its packages, and the same report a day later."""

from __future__ import annotations

from datetime import date

import msgspec
from support.advisory_lookup import MemoryLookup, affects, before, osv
from support.sample_report import sample_report

from scanner.advisories.matched_report import matched_report
from scanner.model import Distribution, ImageReport, Package, ScanState

TODAY = date(2024, 9, 1)
LOOKUP = MemoryLookup([osv("CVE-2030-0001", affects("Debian:10", "thing", *before("2-1")))])
LATER = MemoryLookup(
    [
        osv("CVE-2030-0001", affects("Debian:10", "thing", *before("2-1"))),
        osv("CVE-2030-0002", affects("Debian:10", "thing", *before("3-1"))),
    ],
    ecosystems=["PyPI"],
)


def an_image(*packages: Package, **more: object) -> ImageReport:
    image = sample_report().images[0]
    coverage = msgspec.structs.replace(image.coverage, issues=(), limits=(), not_looked_for=("vulnerability", "x"))  # fmt: skip
    distribution = Distribution(id="debian", version="10", path="etc/os-release")
    values = {"coverage": coverage, "packages": packages, "distribution": distribution, "findings": (), "state": ScanState.COMPLETE}  # fmt: skip
    return msgspec.structs.replace(image, **(values | more))


THING = Package(
    purl_type="deb", name="thing", version="1-1", path="var/lib/dpkg/status", from_distribution=True,
    layer_index=0, layer="sha256:1",
)  # fmt: skip
OTHER = Package(purl_type="pypi", name="x", version="1", path="y")


def rules(image):
    return [f.rule_id for f in image.findings]


def test_findings_and_coverage():
    image, coverage = matched_report(an_image(THING), LOOKUP, TODAY)
    assert rules(image) == ["lifecycle/end-of-life-distribution", "vulnerability/CVE-2030-0001"]
    assert image.state is ScanState.COMPLETE
    assert image.coverage.not_looked_for == ("x",)
    assert coverage.ecosystems[0].packages_count == 1
    assert image.findings[1].build_step == an_image().layers[0].build_step


def test_what_cannot_be_matched_makes_it_partial():
    image, _ = matched_report(an_image(THING, OTHER), LOOKUP, TODAY)
    assert image.state is ScanState.PARTIAL
    assert [issue.code for issue in image.coverage.issues] == ["no-advisory-data"]


def test_matched_again():
    once, _ = matched_report(an_image(THING, OTHER), LOOKUP, TODAY)
    again, _ = matched_report(once, LATER, TODAY)
    assert rules(again) == [
        "lifecycle/end-of-life-distribution",
        "vulnerability/CVE-2030-0001",
        "vulnerability/CVE-2030-0002",
    ]
    assert (again.state, again.coverage.issues) == (ScanState.COMPLETE, ())
    assert matched_report(again, LATER, TODAY)[0] == again


def test_a_failed_scan_stays_failed():
    failed = an_image(THING, state=ScanState.FAILED)
    assert matched_report(failed, LOOKUP, TODAY)[0] is failed


def test_other_findings_stay():
    other = sample_report().images[0].findings
    kept = tuple(f for f in other if not f.rule_id.startswith("vulnerability/"))
    image, _ = matched_report(an_image(findings=other), MemoryLookup([]), date(2020, 1, 1))
    assert sorted(rules(image)) == sorted(f.rule_id for f in kept)
