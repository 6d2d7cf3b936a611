"""What a policy says of an image: allow, warn or deny, and every reason for it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Decision(StrEnum):
    """What is to happen with the image; order by :attr:`rank`."""

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"

    @property
    def rank(self) -> int:
        """0 for allow up to 2 for deny: the worst of several counts."""
        return list(Decision).index(self)


class ReasonCode(StrEnum):
    """What sort of reason; what each says is in ``docs/policy.md``."""

    FINDING = "finding"
    EXPRESSION = "expression"
    EXPRESSION_FAILED = "expression-failed"
    WAIVER_EXPIRED = "waiver-expired"
    NOT_SCANNED = "not-scanned"
    SCAN_FAILED = "scan-failed"
    SCAN_OLD = "scan-old"
    COVERAGE_INCOMPLETE = "coverage-incomplete"
    NOT_LOOKED_FOR = "not-looked-for"
    ADVISORIES_OLD = "advisories-old"
    ADVISORIES_UNKNOWN = "advisories-unknown"
    NOT_SIGNED = "not-signed"


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why an image is not simply allowed. What does not apply is empty."""

    code: ReasonCode
    decision: Decision
    """``warn`` or ``deny``."""
    message: str
    rule: str = ""
    """Name of the policy's rule, or of the state that it requires."""
    line: int = 0
    """1-based line of the policy document that says so; 0 if none does."""
    image: str = ""
    """Digest of the image that it is about; of an index, only some platforms may be concerned."""
    finding: str = ""
    """The finding's fingerprint."""
    rule_id: str = ""
    path: str = ""
    package: str = ""
    """purl."""
    vulnerability: str = ""


class Waived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A finding that would have been a reason, and who says that it is none."""

    rule: str
    """The policy's rule that the finding matches."""
    decision: Decision
    """What the rule would have said."""
    by: str
    """``waiver`` or ``vex``."""
    line: int = 0
    """Line of the waiver in the policy document."""
    reason: str = ""
    owner: str = ""
    """Of a waiver; of an OpenVEX document its author."""
    expires: str = ""
    """RFC 3339; empty for OpenVEX, whose statements do not expire."""
    image: str = ""
    finding: str = ""
    rule_id: str = ""
    path: str = ""
    package: str = ""
    vulnerability: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one digest. The same policy, facts and moment give the same verdict, whatever their order."""

    decision: Decision
    """The worst of the reasons'; allow without any."""
    digest: str
    """Of what was judged: an index (the worst of its images counts) or an image."""
    policy: str
    """The policy's name."""
    policy_digest: str
    """``sha256:…`` of the policy document."""
    evaluated_at: str
    """RFC 3339, UTC."""
    reasons: tuple[Reason, ...] = ()
    """Denials first, then by line of policy, rule, path and fingerprint."""
    waived: tuple[Waived, ...] = ()
