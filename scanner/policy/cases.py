"""Tests of a policy: facts of an image, and what the policy is expected to say of them; as YAML.

A case gives what matters to it; everything else is as in an image without findings that was looked at completely.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from scanner.model import (
    Coverage,
    Decision,
    Finding,
    HistoryEntry,
    ImageConfig,
    ImageReport,
    Kind,
    Platform,
    ScanState,
    Severity,
    Verdict,
    digest_of,
)
from scanner.model import vulnerability as v
from scanner.model.finding import fingerprint_of
from scanner.policy._shape import (
    BAD,
    Choice,
    Exactly,
    Flag,
    Key,
    Many,
    Moment,
    Number,
    Object,
    Problem,
    Problems,
    Shape,
    Text,
    WordMap,
)
from scanner.policy.compiled import Policy
from scanner.policy.evaluate import evaluate
from scanner.policy.subject import Subject
from scanner.yaml_nodes import DocumentError, parse_yaml

_DIGEST: Final = digest_of(b"")


class _State(StrEnum):
    """How the scan ended, or that there was none."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the verdict must be. Lists that are not given are not compared."""

    line: int
    decision: Decision
    reasons: tuple[str, ...] | None = None
    """Names of the rules and required states that give a reason, each once."""
    waived: tuple[str, ...] | None = None
    """Names of the rules whose findings are waived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case: a subject is made of it when it is run."""

    line: int
    name: str
    expect: Expected
    image: str = ""
    tag: str = ""
    digest: str = _DIGEST
    namespace: str = ""
    now: datetime | None = None
    state: _State = _State.COMPLETE
    scan_age_days: float = 0
    advisories_age_hours: float | None = None
    signed_by: tuple[str, ...] = ()
    not_looked_for: tuple[Kind, ...] = ()
    user: str = ""
    labels: dict[str, str] | None = None
    base_layers: float = 0
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """One file."""

    line: int
    version: int = 1
    policy: str = ""
    """File of the policy, from the directory of this one; whatever is being tested if empty."""
    now: datetime | None = None
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went: an empty ``failure`` is a pass."""

    case: Case
    verdict: Verdict
    failure: str


_FACTS: Final = {
    "id": v.VULNERABILITY_ID,
    "aliases": v.ALIASES,
    "fixed_version": v.FIXED_VERSION,
    "fixed_at": v.FIXED_AT,
    "published_at": v.PUBLISHED_AT,
    "known_exploited": v.KNOWN_EXPLOITED,
    "exploit_probability": v.EXPLOIT_PROBABILITY,
}


def _finding(line: int, **given: Any) -> Finding:
    evidence = dict(given.pop("evidence", {}))
    for key, name in _FACTS.items():
        if key in given:
            value = given.pop(key)
            evidence[name] = str(value).lower() if isinstance(value, bool) else str(value)
    values = {"path": "", "title": given["rule_id"], "identity": str(line)} | given
    if "layer_index" in values:
        values["layer_index"] = int(values["layer_index"])
    finding = Finding(why="", remedy="", evidence=evidence, **values)
    if finding.fingerprint:
        return finding
    return msgspec.structs.replace(finding, fingerprint=fingerprint_of(finding))


_WORD: Final = Text(most=1_024)
_FINDING: Final = Object(
    {
        "rule": Key(_WORD, "Rule id.", "rule_id", required=True),
        "kind": Key(Choice(Kind), "Kind of finding.", required=True),
        "severity": Key(Choice(Severity), "Severity.", required=True),
        "title": Key(_WORD, "Default: the rule id."),
        "path": Key(_WORD, "Where in the image."),
        "package": Key(_WORD, "purl."),
        "fingerprint": Key(Text(most=32, pattern="[0-9a-f]{32}", form="32 hex digits"), "Default: made from the rest."),
        "layer_index": Key(Number(0, 1_000), "0 is the oldest layer."),
        "deleted": Key(Flag(), "A newer layer deletes the file.", "deleted_later"),
        "evidence": Key(WordMap(), "Any other facts."),
        "id": Key(_WORD, "Id of the vulnerability."),
        "aliases": Key(_WORD, "Its other ids, separated by blanks."),
        "fixed_version": Key(_WORD, "Version of the package without it."),
        "fixed_at": Key(_WORD, "Day of that version."),
        "published_at": Key(_WORD, "Day of the advisory."),
        "known_exploited": Key(Flag(), "Listed as exploited."),
        "exploit_probability": Key(Number(0, 1), "EPSS."),
    },
    _finding,
)  # fmt: skip

_NAMES: Final[Shape] = Many(_WORD, most=1_000)
_EXPECTED: Final = Object(
    {
        "decision": Key(Choice(Decision), "allow, warn or deny.", required=True),
        "reasons": Key(_NAMES, "Rules and required states that give a reason, each once."),
        "waived": Key(_NAMES, "Rules whose findings are waived, each once."),
    },
    Expected,
)

_CASE: Final = Object(
    {
        "name": Key(Text(most=200), "What is shown.", required=True),
        "image": Key(_WORD, "registry/repository."),
        "tag": Key(_WORD, "Tag."),
        "digest": Key(_WORD, "Digest."),
        "namespace": Key(_WORD, "Namespace of the cluster."),
        "now": Key(Moment(), "When it is judged."),
        "state": Key(Choice(_State), "How the scan ended; none: there was none. Default: complete."),
        "scan_age_days": Key(Number(0, 36_500), "How long ago it was scanned. Default: 0."),
        "advisories_age_hours": Key(Number(0, 876_000), "Age of the advisories; without, packages were not compared."),
        "signed_by": Key(_NAMES, "Ids of the keys that signed."),
        "not_looked_for": Key(Many(Choice(Kind), most=len(Kind)), "Kinds that the scan did not look for."),
        "user": Key(_WORD, "USER of the image."),
        "labels": Key(WordMap(), "Labels of the image."),
        "base_layers": Key(Number(0, 1_000), "How many of the oldest layers are the base image's."),
        "findings": Key(Many(_FINDING, most=10_000), "What was found."),
        "expect": Key(_EXPECTED, "What the policy must say.", required=True),
    },
    Case,
)  # fmt: skip

_CASES: Final = Object(
    {
        "version": Key(Exactly(1), "Version of this form.", required=True),
        "policy": Key(_WORD, "File of the policy, from this one's directory."),
        "now": Key(Moment(), "When the cases are judged that do not say."),
        "cases": Key(Many(_CASE, most=10_000), "The cases.", required=True),
    },
    Cases,
)


def schema() -> dict[str, Any]:
    """Return the JSON schema of a file of cases."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "scanner policy test",
        **_CASES.schema(),
    }


def read_cases(text: str) -> tuple[Cases | None, list[Problem]]:
    """Return the cases of a file, or None and all that is wrong with it."""
    problems = Problems()
    try:
        root = parse_yaml(text)
    except DocumentError as error:
        return None, [Problem(error.line, error.reason)]
    cases = _CASES.read(root, "tests", problems)
    return (None if cases is BAD else cases), sorted(problems.found, key=lambda p: p.line)


def run_case(policy: Policy, case: Case, now: datetime) -> Outcome:
    """Return how the policy judges a case; ``now`` counts where the case does not say."""
    now = case.now or now
    verdict = evaluate(policy, _subject(case, now), now)
    return Outcome(case, verdict, _difference(case.expect, verdict))


def _difference(expected: Expected, verdict: Verdict) -> str:
    if verdict.decision is not expected.decision:
        return f"expected {expected.decision}, was {verdict.decision}" + _because(verdict)
    reasons = sorted({r.rule for r in verdict.reasons})
    if expected.reasons is not None and sorted(set(expected.reasons)) != reasons:
        return f"expected reasons {_listed(expected.reasons)}, were {_listed(reasons)}"
    waived = sorted({w.rule for w in verdict.waived})
    if expected.waived is not None and sorted(set(expected.waived)) != waived:
        return f"expected waived {_listed(expected.waived)}, were {_listed(waived)}"
    return ""


def _because(verdict: Verdict) -> str:
    names = list(dict.fromkeys(r.rule for r in verdict.reasons))
    return f", because of {_listed(names)}" if names else ", without a reason"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


def _subject(case: Case, now: datetime) -> Subject:
    advisories = case.advisories_age_hours
    return Subject(
        digest=case.digest,
        name=case.image,
        tag=case.tag,
        namespace=case.namespace,
        images=() if case.state is _State.NONE else (_image(case),),
        scanned_at=now - timedelta(days=case.scan_age_days),
        advisories_at=None if advisories is None else now - timedelta(hours=advisories),
        signed_by=case.signed_by,
    )


def _history(case: Case) -> tuple[HistoryEntry, ...]:
    """Return a history whose base image has so many layers."""
    if not case.base_layers:
        return ()
    base = [HistoryEntry(created_by="ADD rootfs.tar /")] * int(case.base_layers)
    return (
        *base,
        HistoryEntry(created_by='CMD ["sh"]', empty_layer=True),
        HistoryEntry(created_by="COPY . /app"),
    )


def _image(case: Case) -> ImageReport:
    return ImageReport(
        digest=case.digest,
        image_id=case.digest,
        platform=Platform(),
        state=ScanState(case.state.value),
        coverage=Coverage(
            layers_count=1,
            layers_scanned_count=1,
            compressed_bytes=0,
            uncompressed_bytes=0,
            entries_count=0,
            files_count=0,
            read_count=0,
            distribution_recognised=True,
            ecosystems={},
            issues=(),
            limits=(),
            not_looked_for=tuple(map(str, case.not_looked_for)),
        ),
        config=ImageConfig(user=case.user, labels=case.labels or {}, history=_history(case)),
        findings=case.findings,
        error="made up" if case.state is _State.FAILED else "",
    )
