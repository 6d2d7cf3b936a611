"""The table: compared whole, the worst first, and safe to show on a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import msgspec
import pytest
from support.golden import assert_golden
from support.sample_report import HOSTILE, finding, sample_report

from scanner.model import Kind, ScanReport, Severity
from scanner.reports.table import FORMAT, printable, size_text

GOLDEN = Path(__file__).parent / "golden"
COLOUR = re.compile(r"\x1b\[[0-9;]+m")


def written(report: ScanReport, *, colour: bool = False, width: int = 100) -> str:
    stream = io.StringIO()
    FORMAT.write(report, stream, colour, width)
    return stream.getvalue()


def with_findings(*findings) -> ScanReport:
    report = sample_report()
    image = msgspec.structs.replace(report.images[0], findings=findings)
    return msgspec.structs.replace(report, images=(image,))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_golden(width):
    assert_golden(written(sample_report(), width=width), GOLDEN / f"table-{width}.txt")


def test_golden_in_colour():
    assert_golden(written(sample_report(), colour=True), GOLDEN / "table-colour.txt")


def test_colour_changes_nothing_else():
    assert COLOUR.sub("", written(sample_report(), colour=True)) == written(sample_report())


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_keeps_to_the_width(width):
    report = msgspec.structs.replace(sample_report(), reference="oci:demo")
    lines = written(report, width=width).splitlines()
    too_long = [line for line in lines if len(line) > max(width, 73)]  # a digest is not cut
    assert not too_long


def test_hostile_texts_reach_nobody():
    text = written(sample_report())
    assert HOSTILE not in text
    assert all(c.isprintable() or c == "\n" for c in text)
    assert r"evil\x1b]0;owned\x07\x9b31m\x202egnp.exe" in text


def test_worst_first_whatever_the_order():
    severities = [Severity.LOW, Severity.CRITICAL, Severity.INFO, Severity.MEDIUM, Severity.HIGH]
    text = written(with_findings(*(finding(f"config/{s}", s, "etc/x") for s in severities)))
    headings = re.findall(r"^ (CRITICAL|HIGH|MEDIUM|LOW|INFO) ", text, re.MULTILINE)
    assert headings == ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]


def test_thirty_low_findings_of_a_rule_are_two_lines():
    low = [finding("config/many", Severity.LOW, f"etc/{n:02}") for n in range(30)]
    text = written(with_findings(*low))
    assert [line.split() for line in text.splitlines() if "etc/" in line or "many" in line] == [
        ["A", "setting", "that", "should", "not", "be", "(×30)", "config/many"],  # noqa: RUF001
        ["where", "etc/00,", "etc/01,", "etc/02", "and", "27", "more"],
    ]


def test_secrets_before_settings_of_the_same_severity():
    kinds = (Kind.CONFIG, Kind.PRIVILEGE, Kind.CRYPTO, Kind.SECRET)
    mixed = [finding(f"{kind}/x", Severity.MEDIUM, "etc/x", kind=kind) for kind in kinds]
    rules = re.findall(r" (?!etc)(\w+)/x$", written(with_findings(*mixed)), re.MULTILINE)
    assert rules == ["secret", "crypto", "privilege", "config"]


@pytest.mark.parametrize(
    ("evidence", "want"),
    [
        ({}, ["where etc/0, etc/1"]),
        ({"context": "test data"}, ["where etc/0 (test data), etc/1 (test data)"]),
        (
            {"shipped_by": "pkg:deb/debian/libgnutls30@3.7?arch=amd64"},
            ["where etc/0 (shipped by libgnutls30), etc/1 (shipped by libgnutls30)"],
        ),
        (
            {"context": "self-test of a rather long-winded library"},
            [f"where etc/{n} (self-test of a rather long-winded library)" for n in range(2)],
        ),
    ],
)
def test_why_a_finding_is_low(evidence, want):
    low = [finding("secret/x", Severity.LOW, f"etc/{n}", evidence=evidence) for n in range(2)]
    lines = [" ".join(x.split()) for x in written(with_findings(*low)).splitlines() if "etc/" in x]
    assert [line if line.startswith("where") else f"where {line}" for line in lines] == want


def test_says_that_nothing_was_found_only_with_what_was_looked_at():
    text = written(with_findings())
    assert "No findings." in text
    assert "vulnerabilities: not looked for, as there is no data" in text
    assert "Could not be looked at as it should have been:" in text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (2_550_000_000, "2.5 GB"),
        (10**13, "10000.0 GB"),
    ],
)
def test_size_text(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("plain ünïcode 漢字", "plain ünïcode 漢字"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b", r"\x9b"),
        ("a\nb\r\t\0", r"a\x0ab\x0d\x09\x00"),
        ("\u202e", r"\x202e"),
        ("\ud800", r"\xd800"),
    ],
    ids=["plain", "escape", "c1", "lines", "direction", "half_a_pair"],
)
def test_printable(text, want):
    assert printable(text) == want


@pytest.mark.parametrize(
    ("evidence", "want"),
    [
        (
            {"installed_version": "1.0", "fixed_version": "1.2", "fix_state": "fixed", "aliases": "GHSA-1 B-2",
             "known_exploited": "true", "exploit_probability": "0.9", "severity_source": "CVSS_V3 9.8", "cvss": "CVSS:3.1/x"},
            "(1.0, fixed in 1.2; known to be exploited; EPSS 0.9; CVSS_V3 9.8; also GHSA-1, B-2)",
        ),
        ({"installed_version": "1.0", "fix_state": "will-not-fix"}, "(1.0, will not fix)"),
        ({"installed_version": "1.0"}, "(1.0, no fix known)"),
    ],
    ids=["all", "will_not_fix", "unknown"],
)  # fmt: skip
def test_what_decides_how_soon_to_act(evidence, want):
    more = {"kind": Kind.VULNERABILITY, "evidence": evidence, "why": "word " * 200}
    text = written(
        with_findings(finding("vulnerability/x", Severity.HIGH, "app.jar", **more)), width=200
    )
    assert want in text
    assert f"{'word ' * 60}…" in " ".join(text.split())
    assert "word " * 61 not in " ".join(text.split())
