"""The report for a person: the worst first, where it is, what to do, and what was not looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, TextIO

from scanner.model import FileIssue, Finding, ImageReport, ScanReport, ScanState, Severity
from scanner.ports import ReportFormat

_PLACES_SHOWN: Final = 5
_ISSUES_SHOWN: Final = 10
_COLOURS: Final = {
    Severity.CRITICAL: "1;37;41",
    Severity.HIGH: "1;31",
    Severity.MEDIUM: "1;33",
    Severity.LOW: "36",
    Severity.INFO: "2",
}
_STATES: Final = {
    ScanState.COMPLETE: "32",
    ScanState.PARTIAL: "1;33",
    ScanState.FAILED: "1;31",
}


class _Paper:
    """Writes lines of at most ``width`` columns, coloured or not."""

    def __init__(self, stream: TextIO, *, colour: bool, width: int) -> None:
        self._stream = stream
        self._colour = colour
        self._width = max(40, width)

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str = "") -> None:
        self._stream.write(text + "\n")

    def wrapped(self, label: str, text: str, indent: int = 4) -> None:
        """Write ``label`` in a column of its own and ``text`` wrapped beside it."""
        head = " " * indent + f"{label:<7}"
        lines = textwrap.wrap(printable(text), self._width - len(head), break_on_hyphens=False) or [
            ""
        ]
        self.line(self.paint(head, "2") + lines[0])
        for more in lines[1:]:
            self.line(" " * len(head) + more)


def printable(text: str) -> str:
    """Return ``text`` with control characters made visible: image bytes must not drive a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def size_text(count: int) -> str:
    """Return bytes as a person reads them: ``1.5 GB`` (powers of 1000)."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":  # noqa: PLR2004
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def _write(report: ScanReport, stream: TextIO, colour: bool, width: int) -> None:  # noqa: FBT001
    paper = _Paper(stream, colour=colour, width=width)
    paper.line(paper.paint(printable(report.reference), "1"))
    paper.line(f"  {report.digest}")
    for image in report.images:
        paper.line()
        _image(paper, image)
    if report.skipped:
        paper.line()
        paper.line("Entries of the index that are no images to scan:")
        _issues(paper, report.skipped)
    paper.line()
    paper.line(_result(paper, report))


def _image(paper: _Paper, image: ImageReport) -> None:
    name = image.distribution.name or image.distribution.id if image.distribution else ""
    paper.line(
        paper.paint(f"{image.platform}", "1")
        + f"  {printable(name) or 'no distribution recognised'}  {image.digest[:19]}"
    )
    if image.error:
        paper.wrapped("failed", image.error, 2)
        return
    ordered = sorted(image.findings, key=lambda f: (-f.severity.rank, f.rule_id))
    for severity, of_severity in groupby(ordered, key=lambda f: f.severity):
        _severity(paper, severity, list(of_severity))
    if not ordered:
        paper.line()
        paper.line("  No findings.")
    paper.line()
    _packages(paper, image)
    _coverage(paper, image)


def _severity(paper: _Paper, severity: Severity, findings: Sequence[Finding]) -> None:
    paper.line()
    heading = paper.paint(f" {severity.upper()} ", _COLOURS[severity])
    paper.line(f"{heading} {len(findings)} finding{'s' if len(findings) > 1 else ''}")
    for _, same in groupby(findings, key=lambda f: (f.rule_id, f.title)):
        _rule(paper, list(same))


def _rule(paper: _Paper, findings: Sequence[Finding]) -> None:
    first = findings[0]
    count = f" ({len(findings)})" if len(findings) > 1 else ""
    paper.line(
        f"  {paper.paint(printable(first.title), '1')}{count}  {paper.paint(first.rule_id, '2')}"
    )
    for finding in findings[:_PLACES_SHOWN]:
        paper.wrapped("where", _place(finding))
    if len(findings) > _PLACES_SHOWN:
        paper.wrapped("", f"and {len(findings) - _PLACES_SHOWN} more (all are in --format json)")
    steps = list(dict.fromkeys(f.build_step for f in findings if f.build_step))
    if len(steps) == 1:
        paper.wrapped("made by", steps[0][:200])
    paper.wrapped("why", first.why)
    paper.wrapped("do", first.remedy)


def _place(finding: Finding) -> str:
    where = finding.path or finding.package
    if finding.line is not None:
        where += f":{finding.line}"
    elif finding.offset is not None:
        where += f" at byte {finding.offset}"
    notes = []
    if finding.layer_index is not None:
        notes.append(f"layer {finding.layer_index}")
    if finding.deleted_later:
        notes.append("deleted by a newer layer, but can still be pulled")
    notes += [f"{k} {v}" for k, v in finding.evidence.items() if k != "sha256"]
    return f"{where}  ({'; '.join(notes)})" if notes else where


def _packages(paper: _Paper, image: ImageReport) -> None:
    counts = [f"{kind} {count}" for kind, count in image.coverage.ecosystems.items()]
    paper.wrapped("pkgs", ", ".join(counts) or "none found", 2)


def _coverage(paper: _Paper, image: ImageReport) -> None:
    coverage = image.coverage
    cached = sum(layer.cached for layer in image.layers)
    text = (
        f"{coverage.layers_scanned_count} of {coverage.layers_count} layers"
        f"{f' ({cached} known from the store)' if cached else ''}, "
        f"{size_text(coverage.uncompressed_bytes)}, {coverage.files_count:,} files"
    )
    paper.wrapped("read", text, 2)
    if coverage.not_looked_for:
        paper.wrapped("not", f"looked for: {', '.join(coverage.not_looked_for)}", 2)
    if coverage.issues or coverage.limits:
        paper.line(paper.paint("  Not looked at as it should have been:", "1;33"))
        _issues(paper, coverage.issues)
        for hit in coverage.limits:
            paper.wrapped("limit", f"{hit.limit} = {hit.allowed:g}  {hit.path}")


def _issues(paper: _Paper, issues: Sequence[FileIssue]) -> None:
    for text in _issue_texts(issues[:_ISSUES_SHOWN]):
        paper.wrapped("-", text)
    if len(issues) > _ISSUES_SHOWN:
        paper.wrapped("", f"and {len(issues) - _ISSUES_SHOWN} more (all are in --format json)")


def _issue_texts(issues: Sequence[FileIssue]) -> Iterator[str]:
    for issue in issues:
        where = issue.path or (f"layer {issue.layer[:19]}" if issue.layer else "image")
        yield f"{where}: {issue.reason}"


def _result(paper: _Paper, report: ScanReport) -> str:
    counts = [
        paper.paint(f"{n} {severity}", _COLOURS[severity])
        for severity in Severity
        if (n := sum(f.severity is severity for i in report.images for f in i.findings))
    ]
    state = paper.paint(report.state, _STATES[report.state])
    return f"{state}: {', '.join(counts) or 'no findings'} in {report.seconds:.1f} s"


FORMAT: Final = ReportFormat(
    name="table",
    media_type="text/plain",
    write=_write,
    summary="for a person: worst first, where, what to do",
)
