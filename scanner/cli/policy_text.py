"""An explanation of a verdict, for people."""

from __future__ import annotations

from collections.abc import Iterator

from scanner.model import Reason, Waived
from scanner.policy.explain import Explanation
from scanner.policy.subject import Subject

_SHOWN = 100


def explanation_lines(explanation: Explanation, subject: Subject, asked: str) -> Iterator[str]:
    """Yield the lines: what was judged by what, the verdict with all reasons, what was waived, every rule."""
    verdict = explanation.verdict
    yield asked
    if verdict.digest and verdict.digest != asked:
        yield f"  {verdict.digest}"
    if subject.scanned_at is not None:
        yield f"  scanned {subject.scanned_at:%Y-%m-%d %H:%M} UTC"
    yield f"  policy {verdict.policy} ({verdict.policy_digest[:19]}), scopes: {', '.join(explanation.scopes) or 'none'}"
    yield ""
    yield verdict.decision.upper()
    yield from map(_reason, verdict.reasons[:_SHOWN])
    yield from _more(len(verdict.reasons))
    if verdict.waived:
        yield ""
        yield "WAIVED"
        for waived in verdict.waived[:_SHOWN]:
            yield from _waived(waived)
        yield from _more(len(verdict.waived))
    yield ""
    yield "RULES"
    yield f"  {'line':>5}  {'says':<5}  {'matched':>7}  {'reasons':>7}  {'waived':>6}  name"
    for rule in explanation.rules:
        counts = f"{rule.matched_count:>7}  {rule.reasons_count:>7}  {rule.waived_count:>6}"
        yield f"  {rule.line:>5}  {rule.decision:<5}  {counts}  {rule.name}"


def _more(count: int) -> Iterator[str]:
    if count > _SHOWN:
        yield f"  and {count - _SHOWN:,} more (all: --format json)"


def _reason(reason: Reason) -> str:
    line = f" line {reason.line}" if reason.line else ""
    where = reason.path or reason.package
    found = f" [{reason.finding}]" if reason.finding else ""
    about = f"{reason.message}{f': {where}' if where else ''}{found}"
    return f"  {reason.decision:<4}  {reason.rule}{line}: {about}"


def _waived(waived: Waived) -> Iterator[str]:
    what = waived.vulnerability or waived.rule_id
    where = waived.package or waived.path
    yield f"  {waived.rule}: {what} in {where} [{waived.finding}]"
    by = f"{waived.by} line {waived.line}" if waived.line else waived.by
    until = f" until {waived.expires}" if waived.expires else ""
    yield f"        by {by} of {waived.owner}{until}: {waived.reason}"
