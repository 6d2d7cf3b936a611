"""Predicates: compared whole, as their schema says, and never more than what the scan saw."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import msgspec
import pytest
from support.attesting import (
    SCANNED,
    VALID,
    attestable_report,
    ecdsa_signer,
    single,
    verdict,
)
from support.golden import assert_golden

from scanner.attest.predicates import scan
from scanner.attest.statement import parse_statement
from scanner.attest.statements import digests_of, narrowed, sign_report
from scanner.discovery import predicates
from scanner.model import Decision, ScanReport, ScanState
from scanner.ports.attest import Attested

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path(__file__).parents[2] / "docs/schema/attestation-scan-1.0.json"
NAMES = ["cyclonedx", "openvex", "scan", "spdx", "vsa", "vuln", "vulns"]


def attested(report: ScanReport, decision: Decision | None = Decision.DENY) -> Attested:
    return Attested(
        digest=report.digest,
        report=report,
        name="reg.example/team/app",
        scanned_at=SCANNED,
        expires_at=SCANNED + VALID,
        verdict=verdict(report.digest, decision) if decision else None,
        advisories_at=SCANNED - timedelta(hours=3),
    )


def built(name: str, report: ScanReport, decision: Decision | None = Decision.DENY):
    return predicates()[name].build(attested(report, decision))


def test_found_by_walking():
    assert sorted(predicates()) == NAMES
    assert len({p.type for p in predicates().values()}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    predicate = built(name, single(attestable_report()))
    text = msgspec.json.format(msgspec.json.encode(predicate, order="sorted"), indent=1).decode()
    shown = "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text)
    assert_golden(shown + "\n", GOLDEN / f"{name}.json")


@pytest.mark.parametrize("name", NAMES)
def test_index(name):
    """All images but the failed one: a list of vulnerabilities of all would be short."""
    predicate = built(name, attestable_report())
    is_short = name in {"vuln", "vulns", "cyclonedx", "spdx"}
    assert (predicate is None) is is_short


@pytest.mark.parametrize("name", NAMES)
def test_says_when_it_was_made(name):
    predicate = built(name, single(attestable_report()))
    assert predicates()[name].moment(predicate)[:17] == "2025-01-31T12:00:"
    for odd in ({}, {"metadata": 7}, {"metadata": {"timestamp": 7}, "scanned_at": None}):
        assert predicates()[name].moment(odd) == ""


def states(report: ScanReport, state: ScanState) -> ScanReport:
    return single(report, state=state)


@pytest.mark.parametrize(
    ("report", "decision", "unstated"),
    [
        (single(attestable_report()), Decision.ALLOW, set()),
        (single(attestable_report()), None, {"vsa", "openvex"}),
        (single(attestable_report(looked_for_all=False)), None, {"vsa", "openvex", "vuln", "vulns"}),
        (states(attestable_report(), ScanState.FAILED), None, {"vsa", "openvex", "vuln", "vulns", "cyclonedx", "spdx"}),
        (single(attestable_report(), 1), None, {"vsa", "openvex"}),
        (single(attestable_report(), 1, ScanState.PARTIAL), None, {"vsa", "openvex", "vulns"}),
    ],
    ids=["all", "no_policy", "no_advisories", "failed", "complete_and_clean", "partial_and_nothing_found"],
)  # fmt: skip
def test_states_only_what_was_seen(report, decision, unstated):
    assert {n for n in NAMES if built(n, report, decision) is None} == unstated


def test_a_list_of_vulnerabilities_says_how_old_the_advisories_are():
    known = attested(single(attestable_report()))
    at = "2025-01-31T09:00:01Z"
    assert predicates()["vulns"].build(known)["scanner"]["db"]["lastUpdate"] == at
    assert predicates()["vuln"].build(known)["scanner"]["db"]["version"] == at
    unknown = replace(known, advisories_at=None)
    assert predicates()["vulns"].build(unknown) is None  # it must say
    assert predicates()["vuln"].build(unknown)["scanner"]["db"]["version"] == ""


@pytest.mark.parametrize(
    ("decision", "state", "wanted"),
    [
        (Decision.ALLOW, ScanState.COMPLETE, "PASSED"),
        (Decision.WARN, ScanState.PARTIAL, "PASSED"),
        (Decision.DENY, ScanState.COMPLETE, "FAILED"),
        (Decision.ALLOW, ScanState.FAILED, "FAILED"),
    ],
)
def test_verification_summary(decision, state, wanted):
    predicate = built("vsa", single(attestable_report(), state=state), decision)
    assert predicate["verificationResult"] == wanted


@pytest.mark.parametrize(
    "report", [attestable_report(), single(attestable_report())], ids=["index", "image"]
)
@pytest.mark.parametrize("decision", [None, Decision.DENY])
def test_is_as_the_published_schema_says(report, decision):
    published = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    predicate = built("scan", report, decision)
    jsonschema.validate(json.loads(msgspec.json.encode(predicate)), published)
    for missing in ("expires_at", "state", "images", "scanned_at"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in predicate.items() if k != missing}, published)
    assert scan.parse(predicate).digest == report.digest


@pytest.mark.parametrize("predicate", [{}, {"images": 7}, {"schema_version": "1.0"}])
def test_parse_of_what_is_no_predicate(predicate):
    assert scan.parse(predicate) is None


def test_findings_of_every_kind_with_their_coverage():
    predicate = scan.parse(built("scan", attestable_report()))
    kinds = {f.kind for image in predicate.images for f in image.findings}
    assert {"vulnerability", "secret", "config", "privilege"} >= kinds > {"vulnerability", "secret"}
    assert all(sum(i.findings_count.values()) == len(i.findings) for i in predicate.images)


# Statements


def test_a_set_of_statements_for_every_digest_but_failed_ones():
    report = attestable_report()
    assert list(digests_of(report)) == [report.digest, *(i.digest for i in report.images)]
    signed = sign_report(report, list(predicates().values()), ecdsa_signer(), valid=VALID)
    assert [s.digest for s in signed] == [
        report.digest,
        report.images[0].digest,
        report.images[1].digest,
    ]
    for one in signed:
        types = {s.predicate_type for s in one.signed}
        assert types | one.withdrawn == {p.type for p in predicates().values()}
        assert not types & one.withdrawn
        for statement in map(parse_statement, (s.envelope for s in one.signed)):
            (subject,) = statement.subject
            assert subject.name == "reg.example/team/app"
            assert subject.digest == {"sha256": one.digest.removeprefix("sha256:")}


def test_some_platforms_are_not_the_index():
    report = attestable_report()
    signed = sign_report(
        report, list(predicates().values()), ecdsa_signer(), valid=VALID, is_whole=False
    )
    assert [s.digest for s in signed] == [report.images[0].digest, report.images[1].digest]


def test_narrowed_to_an_image():
    report = attestable_report()
    assert narrowed(report, report.digest) is report
    part = narrowed(report, report.images[1].digest)
    assert (part.images, part.state) == ((report.images[1],), ScanState.COMPLETE)


def test_same_report_same_bytes():
    report = attestable_report()
    again = msgspec.json.decode(msgspec.json.encode(report), type=ScanReport)
    chosen = list(predicates().values())
    verdicts = {report.digest: verdict(report.digest)}
    first, second = (
        sign_report(r, chosen, ecdsa_signer(), valid=VALID, verdicts=verdicts)
        for r in (report, again)
    )
    assert first == second
