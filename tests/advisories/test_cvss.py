"""CVSS: scores of the specifications' own examples and of FIRST's reference set."""

from __future__ import annotations

import pytest

from scanner.advisories.cvss import base_score
from scanner.advisories.severity import UNRATED, Said, rate
from scanner.model import Severity
from scanner.model.advisory import Score

ALL_HIGH = "VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"
KNOWN = [
    # the examples of the guide to CVSS 2
    ("CVSS_V2", "AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8),
    ("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0),
    ("CVSS_V2", "AV:L/AC:H/Au:N/C:C/I:C/A:C", 6.2),
    ("CVSS_V2", "AV:N/AC:L/Au:N/C:N/I:N/A:N", 0.0),
    # the examples of 3.0 and 3.1
    ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
    ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
    ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
    ("CVSS_V3", "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),
    ("CVSS_V3", "CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
    ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),
    ("CVSS_V3", "CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", 4.2),
    ("CVSS_V3", "CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
    ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O", 9.8),
    # FIRST's reference set for 4.0
    ("CVSS_V4", f"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/{ALL_HIGH}/E:A/CR:H/IR:H/AR:H/MSI:S/MSA:S", 10.0),
    ("CVSS_V4", f"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/{ALL_HIGH}/E:P/CR:H/IR:H/AR:H/MSI:S/MSA:S", 9.8),
    ("CVSS_V4", f"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/{ALL_HIGH}/E:U/CR:H/IR:H/AR:H", 9.1),
    ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:L/SI:L/SA:L/E:U/CR:H/IR:H/AR:H", 8.1),
    ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:H/SC:L/SI:L/SA:L/E:U/CR:M/IR:H/AR:M", 3.0),
    ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:L/VI:L/VA:L/SC:L/SI:L/SA:L/E:U/CR:H/IR:H/AR:H", 1.7),
    ("CVSS_V4", f"CVSS:4.0/AV:A/AC:L/AT:P/PR:N/UI:N/{ALL_HIGH}/E:U/CR:H/IR:H/AR:H", 6.1),
    # the examples of 4.0
    ("CVSS_V4", "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 7.3),
    ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
    ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", 0.0),
    ("CVSS_V3_SCORE", "6.1", 6.1),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "vector", "want"), KNOWN, ids=lambda v: str(v)[:80])
def test_score(kind, vector, want):
    assert base_score(Score(kind, vector)) == want


@pytest.mark.parametrize(
    ("kind", "vector"),
    [
        ("CVSS_V3", ""),
        ("CVSS_V3", "CVSS:3.1/AV:N"),
        ("CVSS_V3", "CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
        ("CVSS_V3", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
        ("CVSS_V3", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"),
        ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/" + "E:P/" * 10_000),
        ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:S/SA:N"),
        ("CVSS_V4", "AV:N"),
        ("CVSS_V2", "AV:N/AC:L/Au:N/C:N/I:N/A:"),
        ("CVSS_V3_SCORE", "nan"),
        ("CVSS_V3_SCORE", "11"),
        ("CVSS_V9", "9.9"),
        ("Ubuntu", "high"),
    ],
)
def test_no_score(kind, vector):
    assert base_score(Score(kind, vector)) is None


V3 = Score("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
V4 = Score("CVSS_V4", "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N")


def said(rating="", *scores, id_="X-1", informational=""):
    return Said(id_, "Debian:12", rating, scores, informational)


@pytest.mark.parametrize(
    ("records", "severity", "source"),
    [
        pytest.param([said("low", V3)], Severity.LOW, "Debian:12: low", id="rating_before_cvss"),
        pytest.param([said("low"), said("High")], Severity.HIGH, "Debian:12: high", id="worst_rating"),
        pytest.param([said("not yet assigned", V3)], Severity.CRITICAL, "CVSS_V3 9.8", id="no_rating"),
        pytest.param([said("unimportant")], Severity.INFO, "Debian:12: unimportant", id="unimportant"),
        pytest.param([said("medium**")], Severity.MEDIUM, "Debian:12: medium**", id="stars"),
        pytest.param([said("", V3, V4)], Severity.HIGH, "CVSS_V4 7.3", id="newest_cvss"),
        pytest.param([said("", Score("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C"))], Severity.HIGH, "CVSS_V2 10.0", id="cvss_2"),
        pytest.param([said("", Score("CVSS_V3", "no vector"))], Severity.MEDIUM, UNRATED, id="bad_vector"),
        pytest.param([said()], Severity.MEDIUM, UNRATED, id="unrated"),
        pytest.param([said(informational="unmaintained")], Severity.INFO, "unmaintained", id="unmaintained"),
        pytest.param([said(informational="unsound")], Severity.LOW, "unsound", id="unsound"),
        pytest.param([said("low", id_="MAL-2026-1")], Severity.CRITICAL, "malicious package", id="malicious"),
    ],
)  # fmt: skip
def test_severity(records, severity, source):
    assert rate(records)[:2] == (severity, source)
