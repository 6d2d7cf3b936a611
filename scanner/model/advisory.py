"""What is known of a vulnerability and whom it affects, whatever feed said so.

Source: https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class FixState(StrEnum):
    """What a distribution or ecosystem does about a vulnerability in one of its packages."""

    FIXED = "fixed"
    NOT_FIXED = "not-fixed"  # affected, and nothing is said of a fix
    WILL_NOT_FIX = "will-not-fix"
    UNDER_INVESTIGATION = "under-investigation"
    NOT_AFFECTED = "not-affected"


class EventKind(StrEnum):
    """What happens to a range at a version."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version at which a range begins or ends; ``introduced`` ``0`` is before every version."""

    kind: EventKind
    version: str


class AffectedRange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Events in any order; versions between an ``introduced`` and what ends it are affected."""

    events: tuple[Event, ...]


class Score(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A severity as somebody wrote it: ``CVSS_V3`` and a vector, ``CVSS_V3_SCORE`` and a number."""

    type: str
    value: str


class Affected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One package of one ecosystem, and which of its versions."""

    ecosystem: str
    """``Debian:12``, ``PyPI``: with the release where the ecosystem has releases."""
    name: str
    """As the feed spells it."""
    ranges: tuple[AffectedRange, ...] = ()
    versions: tuple[str, ...] = ()
    """Affected as well as what the ranges hold."""
    streams: tuple[str, ...] = ()
    """``name:stream`` of the rpm modules whose builds this is about; empty if that is not said."""
    rating: str = ""
    """Severity in the feed's own words."""
    scores: tuple[Score, ...] = ()
    state: FixState | None = None
    """Said of versions without a fix; None if nothing is said."""
    has_commits_only: bool = False
    """Known by commits (GIT ranges) alone, which no package version can be compared with."""
    fixed_at: str = ""
    """RFC 3339, when the fix came out, where the feed says so."""


class Advisory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One record of a feed. A lookup may leave out what of ``affected`` is about other packages."""

    id: str
    modified: str = ""
    """RFC 3339, as are the other moments."""
    published: str = ""
    withdrawn: str = ""
    """When it was taken back; empty if it stands."""
    aliases: tuple[str, ...] = ()
    """Ids of the same vulnerability."""
    upstream: tuple[str, ...] = ()
    """Vulnerabilities that this advisory of a distribution is about, one or many."""
    related: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    rating: str = ""
    """Severity in the feed's own words."""
    scores: tuple[Score, ...] = ()
    informational: str = ""
    """No vulnerability but ``unmaintained``, ``unsound`` or ``notice``."""
    references: tuple[str, ...] = ()
    affected: tuple[Affected, ...] = ()


class Enrichment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What others than the feeds say of a vulnerability."""

    known_exploited: bool = False
    exploit_probability: float | None = None
    """EPSS, 0 to 1."""
    scores: tuple[Score, ...] = ()
