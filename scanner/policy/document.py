"""What a policy document says, as values; each knows its 1-based line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scanner.model import Decision, Kind, Severity


class Action(StrEnum):
    """What a rule or a required state does where it applies."""

    DENY = "deny"
    WARN = "warn"
    IGNORE = "ignore"  # nothing: how a scope switches off what the document says for all

    @property
    def decision(self) -> Decision:
        """What it makes of the verdict."""
        return Decision.ALLOW if self is Action.IGNORE else Decision(self.value)


class LayerOrigin(StrEnum):
    """Who brought a layer along."""

    BASE = "base"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Images, by ``registry/repository``, and namespaces. An empty list does not ask; both must agree."""

    line: int
    images: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a finding must be: everything that is given. Lists are alternatives."""

    line: int
    kinds: tuple[Kind, ...] = ()
    severity: Severity | None = None
    rules: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    layer: LayerOrigin | None = None
    deleted: bool | None = None
    fix_available: bool | None = None
    fix_age_days: float | None = None
    known_exploited: bool | None = None
    exploit_probability: float | None = None

    @property
    def spoken_of(self) -> frozenset[Kind]:
        """The kinds of finding that it is about; none where only rule ids are given, which may be of any kind."""
        if self.kinds:
            return frozenset(self.kinds)
        facts = (
            self.fix_available,
            self.fix_age_days,
            self.known_exploited,
            self.exploit_probability,
        )
        if self.ids or any(fact is not None for fact in facts):
            return frozenset({Kind.VULNERABILITY})
        return frozenset() if self.rules else frozenset(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: about each finding (``match``, ``when``), or about all of those together (``expression``)."""

    line: int
    name: str
    action: Action
    message: str = ""
    match: Match | None = None
    excepts: tuple[Match, ...] = ()
    when: str = ""
    expression: str = ""
    expression_line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """The image was scanned, at most so long ago."""

    line: int = 0
    action: Action = Action.DENY
    within_days: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Everything was looked at, and everything that the rules speak of was looked for."""

    line: int = 0
    action: Action = Action.WARN


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """The advisories that packages were compared with are at most so old."""

    line: int
    within_hours: float
    action: Action = Action.WARN


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The image carries a verified signature of one of these keys."""

    line: int
    by: tuple[str, ...]
    action: Action = Action.DENY


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """Required states. None: not said here."""

    line: int = 0
    scanned: Scanned | None = None
    coverage: Covered | None = None
    advisories: Advised | None = None
    signed: Signed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What holds for some images only."""

    line: int
    name: str
    where: Where
    require: Require = Require()
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Somebody answers for a finding until a moment."""

    line: int
    reason: str
    owner: str
    expires_at: datetime
    finding: str = ""
    id: str = ""
    rule: str = ""
    packages: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    where: Where | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VexFile:
    """An OpenVEX document that is believed."""

    line: int
    file: str
    author: str = ""
    """Who it must be by, if given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole policy."""

    line: int = 1
    version: int = 1
    name: str = "policy"
    description: str = ""
    require: Require = Require()
    rules: tuple[Rule, ...] = ()
    scopes: tuple[Scope, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    vex: tuple[VexFile, ...] = ()
    digest: str = ""
    """``sha256:…`` of the text."""
