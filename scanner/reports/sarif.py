"""SARIF 2.1.0, as code scanning of GitHub and others reads it: every finding, a run for each image.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from scanner.model import FileIssue, Finding, ImageReport, ScanReport, ScanState, Severity
from scanner.ports import ReportFormat
from scanner.reports._shared import (
    TOOL,
    finished_at,
    json_writer,
    moment,
    name_of,
    started_at,
    unique_images,
)

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_RESULTS_COUNT: Final = 25_000
_TEXT_LENGTH: Final = 1_024
_LEVELS: Final = {
    Severity.CRITICAL: ("error", "9.5"),
    Severity.HIGH: ("error", "8.0"),
    Severity.MEDIUM: ("warning", "5.5"),
    Severity.LOW: ("note", "2.0"),
    Severity.INFO: ("none", "0.0"),
}
"""Level, and the number that GitHub makes a severity of."""


def document(report: ScanReport) -> dict[str, Any]:
    """Return the log as plain values; the same for the same report."""
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [_run(report, image) for image in unique_images(report)],
    }


def _run(report: ScanReport, image: ImageReport) -> dict[str, Any]:
    findings = sorted(image.findings, key=lambda f: -f.severity.rank)
    shown = findings[:_RESULTS_COUNT]
    ids = _rule_ids(shown)
    numbers = {key: number for number, key in enumerate(ids)}
    first = {(f.rule_id, f.severity): f for f in reversed(shown)}
    root = "" if image.is_of_manifests else "/"
    return {
        "tool": {
            "driver": {
                "name": TOOL,
                "semanticVersion": report.scanner_version,
                "rules": [_rule(rule_id, first[key]) for key, rule_id in ids.items()],
            }
        },
        "automationDetails": {"id": f"{name_of(report)}/{image.platform}/"},
        "invocations": [_invocation(report, image, len(findings) - len(shown))],
        "results": [
            _result(f, ids[f.rule_id, f.severity], numbers[f.rule_id, f.severity], root)
            for f in shown
        ],
        "properties": {"digest": image.digest, "platform": str(image.platform)},
    }


def _rule_ids(findings: Iterable[Finding]) -> dict[tuple[str, Severity], str]:
    """Return an id per rule and severity: a rule of SARIF has one severity only."""
    keys = dict.fromkeys((f.rule_id, f.severity) for f in findings)
    severities: dict[str, int] = {}
    for rule_id, _ in keys:
        severities[rule_id] = severities.get(rule_id, 0) + 1
    return {
        (rule_id, severity): f"{rule_id}/{severity}" if severities[rule_id] > 1 else rule_id
        for rule_id, severity in keys
    }


def _rule(rule_id: str, finding: Finding) -> dict[str, Any]:
    level, number = _LEVELS[finding.severity]
    return {
        "id": rule_id,
        "name": rule_id[:255],
        "shortDescription": _text(finding.title),
        "fullDescription": _text(finding.why or finding.title),
        "help": _text(finding.remedy or finding.title),
        "defaultConfiguration": {"level": level},
        "properties": {
            "tags": ["security", str(finding.kind)],
            "security-severity": number,
        },
    }


def _text(text: str) -> dict[str, str]:
    return {"text": text[:_TEXT_LENGTH] or "-"}


def _result(finding: Finding, rule_id: str, number: int, root: str) -> dict[str, Any]:
    line = max(finding.line or 1, 1)
    region = {"startLine": line, "startColumn": 1, "endLine": line, "endColumn": 1}
    place = f"{root}{finding.path}" + (f" ({finding.package})" if finding.package else "")
    deleted = " (deleted by a newer layer, but still in the image)" if finding.deleted_later else ""
    return {
        "ruleId": rule_id,
        "ruleIndex": number,
        "level": _LEVELS[finding.severity][0],
        "message": _text(f"{finding.title}: {place}{deleted}. {finding.remedy}"),
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.path.lstrip("/")) or "image"},
                    "region": region,
                }
            }
        ],
        "partialFingerprints": {
            "primaryLocationLineHash": f"{finding.fingerprint}:1",
            f"{TOOL}/v1": finding.fingerprint,
        },
        "properties": {"layer": finding.layer, "evidence": finding.evidence},
    }


def _invocation(report: ScanReport, image: ImageReport, left_out_count: int) -> dict[str, Any]:
    """Return how it went; what was not looked at is here, so that a short list is not taken for a good one."""
    notes = [_notification(issue) for issue in image.coverage.issues]
    notes += [
        _note(f"limit {hit.limit} was hit at {hit.path or 'the image'}", "limit-exceeded")
        for hit in image.coverage.limits
    ]
    notes += [
        _note(f"this scan did not look for: {kind}", "not-looked-for")
        for kind in image.coverage.not_looked_for
    ]
    if left_out_count:
        notes.append(
            _note(f"{left_out_count} findings more, the least severe, are left out", "cut")
        )
    return {
        "executionSuccessful": image.state is not ScanState.FAILED,
        "startTimeUtc": moment(started_at(report)),
        "endTimeUtc": moment(finished_at(report)),
        "toolExecutionNotifications": notes,
        "properties": {"state": str(image.state)},
    }


def _notification(issue: FileIssue) -> dict[str, Any]:
    return _note(f"{issue.path or issue.layer}: {issue.reason}", issue.code)


def _note(text: str, code: str) -> dict[str, Any]:
    return {"level": "warning", "message": _text(text), "descriptor": {"id": code}}


FORMAT: Final = ReportFormat(
    name="sarif",
    media_type="application/sarif+json",
    write=json_writer(document),
    summary="every finding, for code scanning",
)
