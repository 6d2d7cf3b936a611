"""Debian's security tracker: every source package, vulnerability and release in one document.

Source: https://security-tracker.debian.org/tracker/data/json
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from scanner.advisories._feed_files import decode, read_whole
from scanner.errors import MalformedFileError
from scanner.model.advisory import (
    Advisory,
    Affected,
    AffectedRange,
    Event,
    EventKind,
    FixState,
)
from scanner.ports.feed import Feed, FeedFile, FeedItem, RefusedRecord

_RELEASES: Final = {
    "wheezy": "7",
    "jessie": "8",
    "stretch": "9",
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "forky": "14",
    "duke": "15",
}
_NEVER: Final = "0"
_END_OF_LIFE: Final = "end-of-life"


class _Release(msgspec.Struct):
    status: str
    fixed_version: str | None = None
    urgency: str = ""
    nodsa: str | None = None
    nodsa_reason: str | None = None


class _Vulnerability(msgspec.Struct):
    releases: dict[str, _Release]
    description: str = ""


def _parse(file: FeedFile) -> Iterator[FeedItem]:
    """Yield an advisory for each source package and vulnerability, with its releases."""
    document = decode(read_whole(file), dict[str, msgspec.Raw], file.name)
    for package, raw in document.items():
        try:
            found = decode(raw, dict[str, _Vulnerability], package[:100])
        except MalformedFileError as error:
            yield RefusedRecord(f"{file.name}: {package[:100]}", error.reason)
            continue
        for id_, vulnerability in found.items():
            affected = tuple(_affected(package, vulnerability))
            if affected:
                yield _advisory(id_, vulnerability.description, affected)


def _advisory(id_: str, description: str, affected: tuple[Affected, ...]) -> Advisory:
    is_known = id_.startswith("CVE-")
    return Advisory(
        id=f"DEBIAN-{id_}" if is_known else id_,
        upstream=(id_,) if is_known else (),
        details=description,
        affected=affected,
    )


def _affected(package: str, vulnerability: _Vulnerability) -> Iterator[Affected]:
    """Yield one for each release that has, or had, vulnerable versions."""
    for codename, release in vulnerability.releases.items():
        fixed = release.fixed_version if release.status == "resolved" else None
        if fixed == _NEVER:
            continue
        ends = (Event(EventKind.FIXED, fixed),) if fixed else ()
        yield Affected(
            ecosystem=f"Debian:{_RELEASES.get(codename, codename)}",
            name=package,
            ranges=(AffectedRange((Event(EventKind.INTRODUCED, "0"), *ends)),),
            rating=release.urgency.rstrip("*"),
            state=FixState.FIXED if fixed else _unfixed(release),
        )


def _unfixed(release: _Release) -> FixState:
    if release.status == "undetermined":
        return FixState.UNDER_INVESTIGATION
    is_given_up = release.nodsa_reason == "ignored" or release.urgency.startswith(_END_OF_LIFE)
    return FixState.WILL_NOT_FIX if is_given_up else FixState.NOT_FIXED


FEED: Final = Feed(
    name="debian-tracker",
    units=("Debian",),
    url="https://security-tracker.debian.org",
    files=lambda _unit: ("tracker/data/json",),
    parse=_parse,
    licence="MIT",
    attribution="Debian security tracker, (c) Debian security team and contributors",
    summary="every vulnerability of Debian's source packages, by release, unfixed ones too",
)
