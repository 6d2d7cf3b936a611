"""How long a verdict stays what it is, if nothing but time passes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from scanner.policy.compiled import Policy
from scanner.policy.document import Match, Require, Rule
from scanner.policy.subject import Subject

_MOVING: Final = timedelta(minutes=1)
"""Where a rule asks the clock itself, a verdict is looked at again this often."""
_LONGEST: Final = timedelta(days=1)


def lasts_until(policy: Policy, subject: Subject, now: datetime) -> datetime:
    """Return the moment up to which :func:`~scanner.policy.evaluate.evaluate` says the same; perhaps longer.

    A waiver that ends, a scan and advisories that become too old, and rules that ask for the time are what can change it.
    """
    until = now + (_MOVING if _asks_the_clock(policy) else _LONGEST)
    return min([until, *(moment for moment in _moments(policy, subject) if moment > now)])


def _moments(policy: Policy, subject: Subject) -> Iterator[datetime]:
    """Yield when something ends, past moments included; of scopes all, whether they hold for the subject or not."""
    document = policy.document
    yield from (waiver.expires_at for waiver in document.waivers)
    for require in (document.require, *(scope.require for scope in document.scopes)):
        yield from _ages(require, subject)


def _ages(require: Require, subject: Subject) -> Iterator[datetime]:
    scanned, advised = require.scanned, require.advisories
    if scanned and scanned.within_days is not None and subject.scanned_at is not None:
        yield subject.scanned_at + timedelta(days=scanned.within_days)
    if advised and subject.advisories_at is not None:
        yield subject.advisories_at + timedelta(hours=advised.within_hours)


def _asks_the_clock(policy: Policy) -> bool:
    document = policy.document
    rules = (*document.rules, *(rule for scope in document.scopes for rule in scope.rules))
    return bool(document.vex) or any(map(_is_about_time, rules))


def _is_about_time(rule: Rule) -> bool:
    matches: tuple[Match, ...] = (rule.match, *rule.excepts) if rule.match else rule.excepts
    by_age = any(match.fix_age_days is not None for match in matches)
    return by_age or "now" in rule.when or "now" in rule.expression
