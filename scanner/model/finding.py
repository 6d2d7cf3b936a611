"""One observed problem, of any kind, in one shape."""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad; order by :attr:`rank`."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """4 for critical down to 0 for info."""
        return 4 - list(Severity).index(self)


class Kind(StrEnum):
    """What sort of problem."""

    VULNERABILITY = "vulnerability"
    SECRET = "secret"  # noqa: S105 - the word, not one
    CRYPTO = "crypto"
    CONFIG = "config"
    PRIVILEGE = "privilege"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observed problem.

    An analyzer fills everything down to ``identity``; the pipeline fills the rest when layers are
    merged. ``evidence`` never holds a secret: a redacted form and a SHA-256 stand for it.
    """

    rule_id: str
    kind: Kind
    severity: Severity
    title: str
    why: str
    remedy: str
    path: str
    """Where in the image, without leading slash; ``config:Env/NAME`` for text of the image config."""
    line: int | None = None
    """1-based, where the file is text and the line is known."""
    offset: int | None = None
    """0-based byte offset in the file."""
    package: str = ""
    """purl of the package it concerns, if any."""
    evidence: dict[str, str] = {}
    identity: str = ""
    """What tells it from another finding of the same rule in the same file (a SHA-256, a name)."""

    layer: str = ""
    """Digest of the layer that holds it."""
    layer_index: int | None = None
    """0 is the oldest layer."""
    build_step: str = ""
    """The history entry that made the layer."""
    deleted_later: bool = False
    """A newer layer hides the file; it can still be pulled."""
    fingerprint: str = ""
    """Survives rescans, rebuilds and line moves: waivers, baselines and SARIF hang on it."""


def fingerprint_of(finding: Finding) -> str:
    """Return the fingerprint: rule, path and identity, not line, layer or wording (32 hex digits)."""
    parts = (finding.rule_id, finding.path, finding.package, finding.identity)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
