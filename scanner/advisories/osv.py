"""OSV records, whoever wrote them: checked, bounded, and what differs between writers made the same.

Source: https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from scanner.decoding import decode_json
from scanner.errors import LimitExceededError, MalformedFileError
from scanner.model.advisory import (
    Advisory,
    Affected,
    AffectedRange,
    Event,
    EventKind,
    FixState,
    Score,
)
from scanner.ports.version import VERSION_LENGTH

RECORD_BYTES: Final = 16 * 1024 * 1024
"""Of one record; the largest real one, of a kernel, has 5 MB."""
_IDS_COUNT: Final = 10_000
_AFFECTED_COUNT: Final = 100_000
_EVENTS_COUNT: Final = 10_000
_TEXT_LENGTH: Final = 200_000
_NAME_LENGTH: Final = 1_024
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+~@/-]{0,199}\Z")
_MODULES: Final = re.compile(r"\b([a-z0-9][\w.+-]*:[a-z0-9][\w.+-]*)", re.ASCII | re.IGNORECASE)
_RATED_SUMMARY: Final = re.compile(r"(?:[\w ]{1,40}: )?(Critical|Important|Moderate|Low): ")
_KNOWN_BOUND: Final = re.compile(r"<(=?)\s*([^\s<>=,]+)\s*\Z")
_LIVES_FOREVER: Final = "0001-01-01"
"""What Go's writer puts where it knows no moment."""

_STATES: Final = {
    "fixed": FixState.FIXED,
    "released": FixState.FIXED,
    "fix-not-planned": FixState.WILL_NOT_FIX,
    "wont-fix": FixState.WILL_NOT_FIX,
    "ignored": FixState.WILL_NOT_FIX,
    "end-of-life": FixState.WILL_NOT_FIX,
    "pending-upstream-fix": FixState.NOT_FIXED,
    "true-positive-determination": FixState.NOT_FIXED,
    "needed": FixState.NOT_FIXED,
    "deferred": FixState.NOT_FIXED,
    "pending": FixState.NOT_FIXED,
    "detection": FixState.UNDER_INVESTIGATION,
    "analysis-not-planned": FixState.UNDER_INVESTIGATION,
    "needs-triage": FixState.UNDER_INVESTIGATION,
    "undetermined": FixState.UNDER_INVESTIGATION,
    "false-positive-determination": FixState.NOT_AFFECTED,
    "not-affected": FixState.NOT_AFFECTED,
}
"""What the writers call it: Wolfi's events, Ubuntu's and Debian's states."""


class _Package(msgspec.Struct):
    ecosystem: str
    name: str


class _Range(msgspec.Struct):
    type: str
    events: list[dict[str, str]] = []


class _Severity(msgspec.Struct):
    type: str
    score: str


class _Reference(msgspec.Struct):
    url: str


class _Affected(msgspec.Struct):
    package: _Package | None = None
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Severity] | None = None
    ecosystem_specific: dict[str, Any] | None = None
    database_specific: dict[str, Any] | None = None


class _Record(msgspec.Struct):
    id: str
    modified: str = ""
    published: str | None = None
    withdrawn: str | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    related: list[str] | None = None
    summary: str | None = None
    details: str | None = None
    severity: list[_Severity] | None = None
    affected: list[_Affected] | None = None
    references: list[_Reference] | None = None
    database_specific: dict[str, Any] | None = None


_KINDS: Final = frozenset(map(str, EventKind))


def parse_osv(data: bytes, path: str) -> Advisory:
    """Return one record; ``path`` is for messages.

    Raises:
        MalformedFileError: not JSON, not of the schema's types, or an id that is none.
        LimitExceededError: larger than 16 MiB, or more parts than any real record has.
    """
    if len(data) > RECORD_BYTES:
        raise LimitExceededError("osv_record_bytes", RECORD_BYTES, len(data), setting=False)
    try:
        record = decode_json(data, _Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFileError(path, f"no OSV record: {error}"[:300]) from error
    except RecursionError as error:
        raise MalformedFileError(path, "no OSV record: nested too deep") from error
    if not _ID.match(record.id):
        raise MalformedFileError(path, "no OSV record: id is none")
    return _advisory(record, path)


def _advisory(record: _Record, path: str) -> Advisory:
    specific = record.database_specific or {}
    affected = record.affected or []
    _check_count("osv_affected_count", _AFFECTED_COUNT, affected)
    summary = (record.summary or "")[:_NAME_LENGTH]
    streams = tuple(dict.fromkeys(_MODULES.findall(summary.partition(": ")[2] or summary)))
    return Advisory(
        id=record.id,
        modified=_moment(record.modified),
        published=_moment(record.published),
        withdrawn=_moment(record.withdrawn),
        aliases=_ids(record.aliases),
        upstream=_ids(record.upstream),
        related=_ids(record.related),
        summary=summary,
        details=(record.details or "")[:_TEXT_LENGTH],
        rating=_rating(record.severity, specific) or _rating_in(summary),
        scores=(*_scores(record.severity), *_numbers(specific)),
        informational=_informational(affected),
        references=tuple(r.url[:2_048] for r in (record.references or ())[:_IDS_COUNT]),
        affected=tuple(_affected(a, a.package, streams, path) for a in affected if a.package),
    )


def _affected(one: _Affected, package: _Package, streams: tuple[str, ...], path: str) -> Affected:
    """Return whom it affects. Modules are named by the summary alone, so only builds of modules get them."""
    if not package.name or max(len(package.name), len(package.ecosystem)) > _NAME_LENGTH:
        raise MalformedFileError(path, "no OSV record: a package's name is empty or too long")
    specific = {**(one.database_specific or {}), **(one.ecosystem_specific or {})}
    ranges = tuple(_ranges(one, specific, path))
    versions = tuple(v for v in one.versions or () if 0 < len(v) <= VERSION_LENGTH)
    is_modular = any(".module" in event.version for r in ranges for event in r.events)
    return Affected(
        ecosystem=package.ecosystem,
        name=package.name,
        ranges=ranges,
        versions=versions,
        streams=streams if is_modular else (),
        rating=_rating(one.severity, specific),
        scores=_scores(one.severity),
        state=_state(specific),
        has_commits_only=bool(one.ranges) and not ranges and not versions,
    )


def _ranges(one: _Affected, specific: dict[str, Any], path: str) -> Iterator[AffectedRange]:
    for found in one.ranges or ():
        if found.type == "GIT":
            continue
        _check_count("osv_events_count", _EVENTS_COUNT, found.events)
        events = [_event(kind, v, path) for event in found.events for kind, v in event.items()]
        if not any(event.kind in (EventKind.FIXED, EventKind.LAST_AFFECTED) for event in events):
            events += _known_bound(specific)
        if events:
            yield AffectedRange(tuple(events))


def _event(kind: str, version: str, path: str) -> Event:
    if kind not in _KINDS or not 0 < len(version) <= VERSION_LENGTH:
        raise MalformedFileError(path, f"no OSV record: event {kind[:40]!r} at {version[:40]!r}")
    return Event(EventKind(kind), version)


def _known_bound(specific: dict[str, Any]) -> list[Event]:
    """Return the end of a range that GitHub's writer could not express: ``<= 1.2`` where nothing is fixed."""
    text = specific.get("last_known_affected_version_range")
    match = _KNOWN_BOUND.match(text) if isinstance(text, str) else None
    if match is None or len(match[2]) > VERSION_LENGTH:
        return []
    return [Event(EventKind.LAST_AFFECTED if match[1] else EventKind.FIXED, match[2])]


def _check_count(limit: str, allowed: int, items: list[Any]) -> None:
    if len(items) > allowed:
        raise LimitExceededError(limit, allowed, len(items), setting=False)


def _ids(texts: list[str] | None) -> tuple[str, ...]:
    """Return what are ids; some writers leave empty texts or remarks among them."""
    return tuple(dict.fromkeys(t for t in (texts or ())[:_IDS_COUNT] if _ID.match(t)))


def _moment(text: str | None) -> str:
    return "" if not text or text.startswith(_LIVES_FOREVER) else text[:40]


def _scores(severity: list[_Severity] | None) -> tuple[Score, ...]:
    return tuple(
        Score(s.type[:40], s.score[:512])
        for s in (severity or ())[:_IDS_COUNT]
        if s.type.startswith("CVSS")
    )


def _numbers(specific: dict[str, Any]) -> Iterator[Score]:
    """Yield base scores that RubyGems' writer gives without their vectors."""
    for version in ("cvss_v4", "cvss_v3", "cvss_v2"):
        value = specific.get(version)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            yield Score(f"{version.upper()}_SCORE", str(value)[:40])


def _rating(severity: Iterable[_Severity] | None, specific: dict[str, Any]) -> str:
    """Return the writer's own word: Ubuntu's priority, GitHub's severity, Debian's urgency."""
    for one in severity or ():
        if not one.type.startswith("CVSS"):
            return one.score[:40]
    for name in ("severity", "urgency", "priority", "ubuntu_priority"):
        value = specific.get(name)
        if isinstance(value, str):
            return value[:40]
    return ""


def _rating_in(summary: str) -> str:
    """Return the rating of an erratum's title: ``Important: dnsmasq security update``."""
    match = _RATED_SUMMARY.match(summary)
    return match[1] if match else ""


def _state(specific: dict[str, Any]) -> FixState | None:
    value = specific.get("status") or specific.get("urgency")
    return _STATES.get(value) if isinstance(value, str) else None


def _informational(affected: list[_Affected]) -> str:
    for one in affected:
        value = (one.database_specific or {}).get("informational")
        if isinstance(value, str):
            return value[:40]
    return ""
