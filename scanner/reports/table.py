"""The report for a person: the worst first, where it is, what to do, and what was not looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, TextIO

import msgspec

from scanner.model import (
    Decision,
    FileIssue,
    Finding,
    ImageReport,
    Kind,
    LimitHit,
    ScanReport,
    ScanState,
    Severity,
    Verdict,
)
from scanner.model.vulnerability import (
    ALIASES,
    EXPLOIT_PROBABILITY,
    FIX_STATE,
    FIXED_VERSION,
    INSTALLED_VERSION,
    KNOWN_EXPLOITED,
    SEVERITY_SOURCE,
)
from scanner.ports import ReportFormat

_PLACES_SHOWN: Final = 5
_OFFSETS_SHOWN: Final = 3
_FOLDED_PLACES_SHOWN: Final = 3
_ISSUES_SHOWN: Final = 10
_STEP_LENGTH: Final = 120
_EVIDENCE_LENGTH: Final = 60
_ADVISORY_LENGTH: Final = 300
_LEAST_WIDTH: Final = 40
_LABEL_COLUMNS: Final = 14
_FOLDED: Final = frozenset({Severity.LOW, Severity.INFO})
_ORDER: Final = (Kind.SECRET, Kind.VULNERABILITY, Kind.CRYPTO, Kind.PRIVILEGE, Kind.CONFIG)
"""Of what is equally bad: what is out already, what can be used from outside, what makes it worse."""
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
_DECISIONS: Final = {
    Decision.ALLOW: "1;32",
    Decision.WARN: "1;33",
    Decision.DENY: "1;37;41",
}
_KINDS: Final = {"vulnerability": "vulnerabilities"}
_DIM: Final = "2"
_BOLD: Final = "1"
_WARNING: Final = "1;33"


class _Paper:
    """Writes lines of at most ``width`` columns, coloured or not."""

    def __init__(self, stream: TextIO, *, colour: bool, width: int) -> None:
        self._stream = stream
        self._colour = colour
        self._width = max(_LEAST_WIDTH, width)

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str = "") -> None:
        self._stream.write(text + "\n")

    def wrapped(self, label: str, text: str, indent: int = 4, columns: int = 10) -> None:
        """Write ``label`` in a column of its own and ``text`` wrapped beside it."""
        head = " " * indent + f"{label:<{columns}}"
        first, *more = self._wrap(text, len(head))
        self.line(self.paint(head, _DIM) + first)
        for line in more:
            self.line(" " * len(head) + line)

    def listed(self, label: str, texts: Sequence[str]) -> None:
        """Write ``texts`` beside ``label``, in one line if they fit, else each in lines of its own."""
        one = ", ".join(texts)
        fits = len(self._wrap(one, _LABEL_COLUMNS)) == 1
        for number, text in enumerate([one] if fits else texts):
            self.wrapped("" if number else label, text)

    def heading(self, text: str, note: str, indent: int = 2) -> None:
        """Write ``text`` in bold, and ``note`` at the right edge if there is room."""
        *before, last = self._wrap(text, indent)
        margin = " " * indent
        for line in before:
            self.line(margin + self.paint(line, _BOLD))
        gap = self._width - indent - len(last) - len(note)
        if gap < 2:  # noqa: PLR2004 - columns between the two
            self.line(margin + self.paint(last, _BOLD))
            last, gap = "", self._width - indent - len(note)
        self.line(margin + self.paint(last, _BOLD) + " " * gap + self.paint(note, _DIM))

    def _wrap(self, text: str, indent: int) -> list[str]:
        lines = textwrap.wrap(printable(text), self._width - indent, break_on_hyphens=False)
        return lines or [""]


def printable(text: str) -> str:
    """Return ``text`` with control characters made visible: image bytes must not drive a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def size_text(count: int) -> str:
    """Return bytes as a person reads them: ``1.5 GB`` (powers of 1000)."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _write(report: ScanReport, stream: TextIO, colour: bool, width: int) -> None:  # noqa: FBT001
    paper = _Paper(stream, colour=colour, width=width)
    paper.line(paper.paint(printable(report.reference), _BOLD))
    paper.line(paper.paint(f"  {printable(report.digest)}", _DIM))
    for image in report.images:
        paper.line()
        _image(paper, image, of_index=image.digest != report.digest)
    if report.skipped:
        paper.line()
        of_manifests = any(image.is_of_manifests for image in report.images)
        what = "What was" if of_manifests else "Entries of the index that were"
        paper.line(f"{what} not scanned:")
        _issues(paper, report.skipped)
    paper.line()
    paper.line(_result(paper, report))
    if report.verdict is not msgspec.UNSET:
        paper.line()
        _verdict(paper, report.verdict)


def _verdict(paper: _Paper, verdict: Verdict) -> None:
    """Write what the policy says: each rule once, with the first places that it is about."""
    decision = paper.paint(f" {verdict.decision.upper()} ", _DECISIONS[verdict.decision])
    paper.line(f"{decision} by policy {printable(verdict.policy)}")
    for (decided, rule, _), same in groupby(
        verdict.reasons, key=lambda r: (r.decision, r.rule, r.code)
    ):
        reasons = list(same)
        messages = list(dict.fromkeys(r.message for r in reasons))
        count = f" (×{len(reasons)})" if len(reasons) > 1 else ""  # noqa: RUF001 - times
        more = ", and alike" if len(messages) > 1 else ""
        line = f", line {reasons[0].line}" if reasons[0].line else ""
        paper.heading(f"{decided}: {messages[0]}{more}{count}", f"{rule}{line}")
        if places := [r.path or r.package for r in reasons if r.path or r.package]:
            paper.wrapped("where", _first(places))
    if verdict.waived:
        rules = sorted({w.rule for w in verdict.waived})
        paper.wrapped("waived", f"{_counted(len(verdict.waived), 'finding')} of {', '.join(rules)}", 2)  # fmt: skip


def _image(paper: _Paper, image: ImageReport, *, of_index: bool) -> None:
    distribution = image.distribution
    name = (distribution.name or distribution.id) if distribution else "distribution not recognised"
    digest = f" · {image.digest[:19]}" if of_index else ""
    paper.line(
        paper.paint(printable(str(image.platform)), _BOLD)
        + ("" if image.is_of_manifests else f" · {printable(name)}")
        + paper.paint(printable(digest), _DIM)
    )
    if image.error:
        paper.wrapped("failed", image.error, 2)
        return
    ordered = sorted(
        image.findings, key=lambda f: (-f.severity.rank, _ORDER.index(f.kind), f.rule_id, f.title)
    )
    for severity, of_severity in groupby(ordered, key=lambda f: f.severity):
        _severity(paper, severity, list(of_severity))
    if not ordered:
        paper.line()
        paper.line("  No findings.")
    paper.line()
    _coverage(paper, image)


def _severity(paper: _Paper, severity: Severity, findings: Sequence[Finding]) -> None:
    paper.line()
    heading = paper.paint(f" {severity.upper()} ", _COLOURS[severity])
    paper.line(f"{heading} {_counted(len(findings), 'finding')}")
    write = _folded if severity in _FOLDED else _rule
    for number, (_, same) in enumerate(groupby(findings, key=lambda f: f.rule_id)):
        if number and severity not in _FOLDED:
            paper.line()
        write(paper, list(same))


def _folded(paper: _Paper, findings: Sequence[Finding]) -> None:
    """Write what can wait: a heading, and the first places in one line."""
    first = findings[0]
    alike = len({f.title for f in findings}) == 1
    paper.heading(
        (first.title if alike else f"{first.title}, and alike") + _times(findings), first.rule_id
    )
    places = list(dict.fromkeys(map(_folded_place, findings)))
    shown, more = places[:_FOLDED_PLACES_SHOWN], len(places) - _FOLDED_PLACES_SHOWN
    if more > 0:
        shown[-1] += f" and {more} more"
    paper.listed("where", shown)


def _folded_place(finding: Finding) -> str:
    """Return the file, the line of a manifest's field, and what the file is where that makes it less bad."""
    note = finding.evidence.get("context", "")
    owner = finding.evidence.get("shipped_by", "").partition("@")[0].rpartition("/")[2]
    if not note and owner:
        note = f"shipped by {owner}"
    line = f":{finding.line}" if finding.line and "field" in finding.evidence else ""
    return (finding.path or finding.package) + line + (f" ({note})" if note else "")


def _rule(paper: _Paper, findings: Sequence[Finding]) -> None:
    """Write all findings of one rule: every title with its places, then once why and what to do."""
    for _, same in groupby(findings, key=lambda f: f.title):
        titled = list(same)
        paper.heading(titled[0].title + _times(titled), titled[0].rule_id)
        places = list(_places(titled))
        for place in places[:_PLACES_SHOWN]:
            paper.wrapped("where", place)
        if len(places) > _PLACES_SHOWN:
            paper.wrapped("", f"and {len(places) - _PLACES_SHOWN} more (all: --format json)")
    if origin := _origin(findings):
        paper.wrapped("made by", origin)
    paper.wrapped("why", _why(findings[0]))
    paper.wrapped("do", findings[0].remedy)


def _times(findings: Sequence[Finding]) -> str:
    return f" (×{len(findings)})" if len(findings) > 1 else ""  # noqa: RUF001 - times


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _places(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield one text per file; several places in it are told together."""
    for (where, deleted), same in groupby(
        findings, key=lambda f: (f.path or f.package, f.deleted_later)
    ):
        group = list(same)
        notes = list(_evidence(group[0])) if len(group) == 1 else []
        if deleted:
            notes.insert(0, "deleted by a newer layer, but still in the image")
        yield where + _spots(group) + (f"  ({'; '.join(notes)})" if notes else "")


def _spots(findings: Sequence[Finding]) -> str:
    lines = [f.line for f in findings if f.line is not None]
    if len(lines) == len(findings):
        return ":" + _listed([str(n) for n in lines])
    offsets = [str(f.offset) for f in findings if f.offset is not None]
    return f" at byte {_listed(offsets)}" if offsets else ""


def _listed(numbers: Sequence[str]) -> str:
    more = len(numbers) - _OFFSETS_SHOWN
    return ", ".join(numbers[:_OFFSETS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _evidence(finding: Finding) -> Iterator[str]:
    """Yield what helps a person; hashes and references to benchmarks are for programs."""
    if finding.kind is Kind.VULNERABILITY:
        yield from _vulnerability(finding.evidence)
        return
    for key, value in finding.evidence.items():
        if value and key != "cis" and "sha256" not in key:
            short = value if len(value) <= _EVIDENCE_LENGTH else value[:_EVIDENCE_LENGTH] + "…"
            yield f"{key} {short}"


def _vulnerability(evidence: Mapping[str, str]) -> Iterator[str]:
    """Yield what decides how soon to act; every id, date and vector is in the other formats."""
    installed, fixed = evidence.get(INSTALLED_VERSION, ""), evidence.get(FIXED_VERSION, "")
    state = evidence.get(FIX_STATE, "").replace("-", " ")
    yield f"{installed}, fixed in {fixed}" if fixed else f"{installed}, {state or 'no fix known'}"
    if evidence.get(KNOWN_EXPLOITED) == "true":
        yield "known to be exploited"
    if probability := evidence.get(EXPLOIT_PROBABILITY):
        yield f"EPSS {probability}"
    if source := evidence.get(SEVERITY_SOURCE):
        yield source
    if others := evidence.get(ALIASES):
        yield "also " + others.replace(" ", ", ")


def _why(finding: Finding) -> str:
    """Return why it matters; an advisory's whole text is in the other formats."""
    if finding.kind is not Kind.VULNERABILITY or len(finding.why) <= _ADVISORY_LENGTH:
        return finding.why
    return finding.why[:_ADVISORY_LENGTH].rpartition(" ")[0] + " …"


def _origin(findings: Sequence[Finding]) -> str:
    """Return the layer of all findings and the build step that made it; empty where they differ."""
    origins = {(f.layer_index, f.build_step) for f in findings}
    if len(origins) > 1:
        indexes = sorted({i for i, _ in origins if i is not None})
        return f"layers {', '.join(map(str, indexes))}" if indexes else ""
    index, step = origins.pop()
    if index is None:
        return ""
    return f"layer {index}" + (f": {step[:_STEP_LENGTH]}" if step else "")


def _coverage(paper: _Paper, image: ImageReport) -> None:
    coverage = image.coverage
    unseen = ", ".join(_KINDS.get(k, k) for k in coverage.not_looked_for)
    if image.is_of_manifests:
        counts = (
            _counted(coverage.files_count, "file"),
            _counted(coverage.entries_count, "object"),
        )
        paper.wrapped("read", f"{', '.join(counts)}, {size_text(coverage.uncompressed_bytes)}", 2)
        paper.wrapped("not here", f"{unseen}: those are in images", 2)
    else:
        _image_coverage(paper, image, unseen)
    if coverage.issues or coverage.limits:
        paper.line(paper.paint("  Could not be looked at as it should have been:", _WARNING))
        _issues(paper, coverage.issues)
        _limits(paper, coverage.limits)


def _image_coverage(paper: _Paper, image: ImageReport, unseen: str) -> None:
    coverage = image.coverage
    by_count = sorted(coverage.ecosystems.items(), key=lambda e: (-e[1], e[0]))
    paper.wrapped("packages", ", ".join(f"{n} {kind}" for kind, n in by_count) or "none found", 2)
    cached = sum(layer.cached for layer in image.layers)
    known = f" ({cached} known from the store)" if cached else ""
    paper.wrapped(
        "read",
        f"{coverage.layers_scanned_count} of {_counted(coverage.layers_count, 'layer')}{known}, "
        f"{size_text(coverage.uncompressed_bytes)}, {_counted(coverage.files_count, 'file')}",
        2,
    )
    if unseen:
        paper.wrapped("not yet", f"{unseen}: not looked for, as there is no data", 2)


def _issues(paper: _Paper, issues: Sequence[FileIssue]) -> None:
    """Write issues, those of one reason together, so that one cause does not fill the page."""
    by_reason: dict[str, list[str]] = {}
    for issue in issues:
        where = issue.path or (f"layer {issue.layer[:19]}" if issue.layer else "image")
        by_reason.setdefault(issue.reason, []).append(where)
    for reason, places in list(by_reason.items())[:_ISSUES_SHOWN]:
        _bullet(paper, f"{_first(places)}: {reason}")
    if len(by_reason) > _ISSUES_SHOWN:
        _bullet(paper, f"{len(by_reason) - _ISSUES_SHOWN} other reasons (all: --format json)")


def _limits(paper: _Paper, limits: Sequence[LimitHit]) -> None:
    by_limit: dict[tuple[str, float], list[str]] = {}
    for hit in limits:
        by_limit.setdefault((hit.limit, hit.allowed), []).append(hit.path)
    for (name, allowed), paths in by_limit.items():
        _bullet(paper, f"limit {name} = {allowed:.15g} was hit: {_first(filter(None, paths))}")


def _bullet(paper: _Paper, text: str) -> None:
    paper.wrapped("-", text, 4, 2)


def _first(places: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(places)) or ["the image"]
    more = len(distinct) - _FOLDED_PLACES_SHOWN
    shown = ", ".join(distinct[:_FOLDED_PLACES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _result(paper: _Paper, report: ScanReport) -> str:
    counts = [
        paper.paint(f"{n} {severity}", _COLOURS[severity])
        for severity in Severity
        if (n := sum(f.severity is severity for i in report.images for f in i.findings))
    ]
    state = paper.paint(report.state, _STATES[report.state])
    return f"{state}: {', '.join(counts) or 'no findings'} ({report.seconds:.1f} s)"


FORMAT: Final = ReportFormat(
    name="table",
    media_type="text/plain",
    write=_write,
    summary="for a person: worst first, where, what to do",
)
