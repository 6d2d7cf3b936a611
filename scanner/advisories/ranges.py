"""Whether a version lies in what an advisory says is affected, and which version it is fixed in.

Source: https://ossf.github.io/osv-schema/#evaluation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from scanner.discovery import version_schemes
from scanner.model.advisory import Affected, AffectedRange, Event, EventKind
from scanner.ports.version import VERSION_LENGTH

Key = Callable[[str], Any]

_START: Final = "0"
"""Before every version."""
_UNLIMITED: Final = "*"
_CACHED_COUNT: Final = 1 << 17
_FALLBACK: Final = "generic"
_TIES: Final = {EventKind.FIXED: 0, EventKind.INTRODUCED: 1, EventKind.LAST_AFFECTED: 2}
"""A version that is fixed and introduced is affected."""
_PLAIN_COUNT: Final = 2
_BROKEN_LENGTH: Final = 40


class Placement(NamedTuple):
    """Where a version is in some ranges."""

    is_affected: bool
    fixed_version: str = ""
    """The first fixed version behind it; empty if it is not affected, or nothing is fixed."""
    last_affected: str = ""
    """The last affected version from it on, where that is said instead; later ones are free of it."""
    unreadable: str = ""
    """A version of the ranges that the scheme does not know; they say nothing then."""


NOT_AFFECTED: Final = Placement(is_affected=False)
_AFFECTED: Final = Placement(is_affected=True)


@cache
def key_of(purl_type: str) -> Key:
    """Return what makes the versions of a type comparable, or None of what is no version; it remembers them."""
    schemes = version_schemes()
    scheme = schemes.get(purl_type, schemes[_FALLBACK])

    @lru_cache(_CACHED_COUNT)
    def key(version: str) -> Any:
        return scheme.key(version) if 0 < len(version) <= VERSION_LENGTH else None

    return key


def place(version: str, own_key: Any, affected: Affected, key: Key) -> Placement:
    """Return where ``version``, whose key is ``own_key``, lies in versions and ranges.

    A version that cannot be compared (``own_key`` None) is only looked for among the versions.
    """
    if not affected.versions:
        return _place_in_all(version, own_key, affected.ranges, key)
    if version in affected.versions:
        placed = _place_in_all(version, own_key, affected.ranges, key)
        return placed if placed.is_affected else _AFFECTED
    if not affected.ranges and own_key is not None:
        # Without ranges the list is all there is: 1.0 on it means 1.0.0 as well.
        listed = (listed_key for one in affected.versions if (listed_key := key(one)) is not None)
        return Placement(is_affected=any(own_key == listed_key for listed_key in listed))
    return _place_in_all(version, own_key, affected.ranges, key)


def _place_in_all(
    version: str, own_key: Any, ranges: Sequence[AffectedRange], key: Key
) -> Placement:
    """Return the placement in the ranges together: fixed where the last of them that holds the version ends."""
    if own_key is None:
        return NOT_AFFECTED
    if len(ranges) == 1:
        return _place(version, own_key, ranges[0].events, key)
    found, unreadable = NOT_AFFECTED, ""
    for one in ranges:
        placed = _place(version, own_key, one.events, key)
        if placed.is_affected and (not found.is_affected or _is_later(placed, found, key)):
            found = placed
        unreadable = unreadable or placed.unreadable
    return (
        found
        if found.is_affected or not unreadable
        else Placement(is_affected=False, unreadable=unreadable)
    )


def _is_later(one: Placement, other: Placement, key: Key) -> bool:
    if not one.fixed_version or not other.fixed_version:
        return bool(one.fixed_version)
    return bool(key(one.fixed_version) > key(other.fixed_version))


def _place(version: str, own_key: Any, events: Sequence[Event], key: Key) -> Placement:
    is_plain = (
        len(events) == _PLAIN_COUNT
        and events[0].version == _START
        and events[0].kind is EventKind.INTRODUCED
        and events[1].kind is EventKind.FIXED
    )
    if not is_plain or events[1].version == _START:
        return _place_among(version, own_key, events, key)
    fixed_key = _bound_key(events[1].version, version, key)  # nine of ten ranges: everything before
    if fixed_key is None:
        return Placement(is_affected=False, unreadable=events[1].version)
    if own_key < fixed_key:
        return Placement(is_affected=True, fixed_version=events[1].version)
    return NOT_AFFECTED


def _bound_key(bound: str, version: str, key: Key) -> Any:
    """Return the key of a bound; of one that is no version (``4.10-1-r1``), that of its beginning that is one.

    That is enough for versions that begin otherwise; for others it says nothing, and None is returned.
    """
    found = key(bound)
    if found is not None:
        return found
    for end in range(min(len(bound), _BROKEN_LENGTH) - 1, 0, -1):
        if (found := key(bound[:end])) is not None:
            return None if version.startswith(bound[:end]) else found
    return None


def _place_among(version: str, own_key: Any, events: Sequence[Event], key: Key) -> Placement:
    keyed: list[tuple[Any, int, Event]] = []
    limits: list[Any] = []
    starts_affected = False
    for event in events:
        if event.version == _START:
            if event.kind is EventKind.FIXED:  # how some feeds say that no version is affected
                return NOT_AFFECTED
            starts_affected |= event.kind is EventKind.INTRODUCED
            continue
        if event.kind is EventKind.LIMIT and event.version == _UNLIMITED:
            limits.append(None)
            continue
        event_key = _bound_key(event.version, version, key)
        if event_key is None:
            return Placement(is_affected=False, unreadable=event.version)
        if event.kind is EventKind.LIMIT:
            limits.append(event_key)
        else:
            keyed.append((event_key, _TIES[event.kind], event))
    if limits and not any(limit is None or own_key < limit for limit in limits):
        return NOT_AFFECTED
    keyed.sort(key=lambda one: one[:2])
    return _walk(own_key, keyed, is_affected=starts_affected)


def _walk(own_key: Any, keyed: list[tuple[Any, int, Event]], *, is_affected: bool) -> Placement:
    """Follow the events in order up to the version, then on to what ends the range that holds it."""
    passed_count = sum(one[0] <= own_key for one in keyed)
    for event_key, _, event in keyed[:passed_count]:
        if event.kind is EventKind.INTRODUCED:
            is_affected = True
        elif event.kind is EventKind.FIXED or event_key < own_key:
            is_affected = False
    if not is_affected:
        return NOT_AFFECTED
    return _next_end(keyed[passed_count:], keyed[:passed_count])


def _next_end(
    ahead: list[tuple[Any, int, Event]], passed: list[tuple[Any, int, Event]]
) -> Placement:
    """Return how the range that holds the version ends: with a fix that is not affected again, a last version, or not."""
    # A last affected version that is the version itself was passed, and ended nothing.
    if passed and passed[-1][2].kind is EventKind.LAST_AFFECTED:
        return Placement(is_affected=True, last_affected=passed[-1][2].version)
    for (event_key, _, event), following in zip_longest(ahead, ahead[1:]):
        if event.kind is EventKind.LAST_AFFECTED:
            return Placement(is_affected=True, last_affected=event.version)
        if event.kind is EventKind.FIXED and (following is None or following[0] != event_key):
            return Placement(is_affected=True, fixed_version=event.version)
    return _AFFECTED
