"""The states that a policy requires: scanned, looked at completely, compared with fresh advisories, signed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from scanner.model import Decision, FileIssue, ImageReport, Kind, Reason, ReasonCode, ScanState
from scanner.policy.compiled import EffectiveRules
from scanner.policy.document import Advised, Covered, Scanned, Signed
from scanner.policy.subject import Subject

_PARTS_SHOWN = 3


def state_reasons(rules: EffectiveRules, subject: Subject, now: datetime) -> Iterator[Reason]:
    """Yield what is not as it must be; reasons of an action ``ignore`` are left to the caller."""
    states = rules.states
    yield from _scanned(states.scanned, subject, now)
    if not subject.images:
        return
    for image in subject.images:
        yield from _coverage(rules, image)
    yield from _entries(rules, subject)
    if states.advisories:
        yield from _advisories(states.advisories, subject, now)
    if states.signed:
        yield from _signed(states.signed, subject)


def _scanned(state: Scanned, subject: Subject, now: datetime) -> Iterator[Reason]:
    def reason(code: ReasonCode, message: str, image: str = "") -> Reason:
        return _reason(state, "scanned", code, message, image)

    if not subject.images:
        yield reason(ReasonCode.NOT_SCANNED, "the image has not been scanned")
        return
    for image in subject.images:
        if image.state is ScanState.FAILED:
            yield reason(ReasonCode.SCAN_FAILED, f"the image could not be scanned: {image.error}", image.digest)  # fmt: skip
    if state.within_days is None:
        return
    if subject.scanned_at is None:
        yield reason(ReasonCode.SCAN_OLD, "nobody knows when the image was scanned")
    elif now - subject.scanned_at > timedelta(days=state.within_days):
        age = _age(now - subject.scanned_at)
        yield reason(
            ReasonCode.SCAN_OLD, f"scanned {age} ago, allowed are {state.within_days:g} days"
        )


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"  # noqa: PLR2004


def _coverage(rules: EffectiveRules, image: ImageReport) -> Iterator[Reason]:
    state = rules.states.coverage
    if image.state is ScanState.PARTIAL:
        message = f"not everything could be looked at: {_told(image)}"
        yield _reason(state, "coverage", ReasonCode.COVERAGE_INCOMPLETE, message, image.digest)
    missing = sorted(rules.kinds & {Kind(k) for k in image.coverage.not_looked_for if k in set(Kind)})  # fmt: skip
    if missing and image.state is not ScanState.FAILED:
        message = (
            f"rules of the policy are about what this scan did not look for: {', '.join(missing)}"
        )
        yield _reason(state, "coverage", ReasonCode.NOT_LOOKED_FOR, message, image.digest)


def _told(image: ImageReport) -> str:
    coverage = image.coverage
    parts = [_issue(i) for i in coverage.issues]
    parts += [f"limit {h.limit}" + (f" in {h.path}" if h.path else "") for h in coverage.limits]
    parts = sorted(set(parts))
    more = len(parts) - _PARTS_SHOWN
    shown = "; ".join(parts[:_PARTS_SHOWN]) or "see the report"
    return f"{shown} and {more} more" if more > 0 else shown


def _issue(issue: FileIssue) -> str:
    return f"{issue.path or issue.layer[:19] or 'image'}: {issue.reason}"


def _entries(rules: EffectiveRules, subject: Subject) -> Iterator[Reason]:
    """Yield a reason if an entry of the index should have been scanned, and was not."""
    failed = sorted(_issue(i) for i in subject.skipped if i.code != "skipped")
    if failed:
        message = f"{len(failed)} entries of the index were not scanned: {failed[0]}"
        yield _reason(rules.states.coverage, "coverage", ReasonCode.COVERAGE_INCOMPLETE, message)


def _advisories(state: Advised, subject: Subject, now: datetime) -> Iterator[Reason]:
    if subject.advisories_at is None:
        code, message = ReasonCode.ADVISORIES_UNKNOWN, "packages were not compared with advisories"
    elif now - subject.advisories_at > timedelta(hours=state.within_hours):
        code = ReasonCode.ADVISORIES_OLD
        age = _age(now - subject.advisories_at)
        message = f"advisories are {age} old, allowed are {state.within_hours:g} hours"
    else:
        return
    yield _reason(state, "advisories", code, message)


def _signed(state: Signed, subject: Subject) -> Iterator[Reason]:
    if set(state.by) & set(subject.signed_by):
        return
    message = f"no verified signature of {' or '.join(state.by)}"
    yield _reason(state, "signed", ReasonCode.NOT_SIGNED, message)


def _reason(
    state: Scanned | Covered | Advised | Signed,
    rule: str,
    code: ReasonCode,
    message: str,
    image: str = "",
) -> Reason:
    return Reason(
        code=code,
        decision=state.action.decision,
        message=message,
        rule=rule,
        line=state.line,
        image=image,
    )


def counts(reason: Reason) -> bool:
    """Whether a reason is one: not of an action that is ignored."""
    return reason.decision is not Decision.ALLOW
