"""What is told of a digest, in one shape whatever is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from scanner.model import Decision, Reason, Severity, Verdict
from scanner.ports import ImageSummary, JobState, ScanRecord


class ImageState(StrEnum):
    """What is known of a digest."""

    UNKNOWN = "unknown"  # nobody ever asked for it, or it was cancelled before anything was seen
    QUEUED = "queued"
    SCANNING = "scanning"
    COMPLETE = "complete"
    PARTIAL = "partial"  # something was not looked at; ``coverage`` says what
    FAILED = "failed"  # nothing useful was seen; ``error`` says why
    STALE = "stale"  # scanned longer ago than the caller lets count


class ImageAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a digest. What is not known is left out."""

    digest: str
    state: ImageState
    scan: str = ""
    """Id of the scan, as long as there is no result."""
    result: ImageState | None = None
    """How the scan ended: ``complete``, ``partial`` or ``failed``, also where ``state`` is ``stale``."""
    kind: str = ""
    """``image`` or ``index``; an index has its images' worst state and the sums of their counts."""
    platform: str = ""
    config_digest: str = ""
    severities: dict[Severity, int] | None = None
    """Findings of each severity, zeros included."""
    packages_count: int | None = None
    coverage: dict[str, Any] | None = None
    """What was looked at, and what was not."""
    reference: str = ""
    """By which it was scanned last."""
    fingerprint: str = ""
    """Of the analyzers, rules and limits that looked."""
    is_current: bool | None = None
    """Whether those are this server's."""
    scanned_at: datetime | None = None
    error_code: str = ""
    error: str = ""
    verdict: Decision | None = None
    """What the policy says: ``allow``, ``warn`` or ``deny``."""
    reasons: tuple[Reason, ...] = ()
    """Why, denials first; the first ones, if there are many."""
    reasons_count: int | None = None
    """All there are."""
    waived_count: int | None = None
    """Findings that would be reasons, but for a waiver or an OpenVEX statement."""
    policy: str = ""
    policy_digest: str = ""


def with_verdict(answer: ImageAnswer, verdict: Verdict, *, most_reasons: int) -> ImageAnswer:
    """Return the answer with what the policy says of it."""
    return msgspec.structs.replace(
        answer,
        verdict=verdict.decision,
        reasons=verdict.reasons[:most_reasons],
        reasons_count=len(verdict.reasons),
        waived_count=len(verdict.waived),
        policy=verdict.policy,
        policy_digest=verdict.policy_digest,
    )


def answer_of(
    image: ImageSummary, fingerprint: str, *, max_age_seconds: int | None, now: datetime
) -> ImageAnswer:
    """Return the answer for a digest that was scanned."""
    result = ImageState(image.state.value)
    is_old = (
        max_age_seconds is not None and (now - image.scanned_at).total_seconds() > max_age_seconds
    )
    return ImageAnswer(
        digest=image.digest,
        state=ImageState.STALE if is_old else result,
        result=result,
        kind=image.kind,
        platform=image.platform,
        config_digest=image.config_digest,
        severities=image.severities,
        packages_count=image.packages_count,
        coverage=image.coverage,
        reference=image.reference,
        fingerprint=image.fingerprint,
        is_current=image.fingerprint == fingerprint,
        scanned_at=image.scanned_at,
        error=image.error,
    )


def answer_without_image(digest: str, scan: ScanRecord | None) -> ImageAnswer:
    """Return the answer for a digest without a result: its newest scan tells."""
    match scan.state if scan is not None else None:
        case JobState.QUEUED | JobState.SCANNING | JobState.FAILED as state if scan is not None:
            return ImageAnswer(
                digest=digest,
                state=ImageState(state.value),
                scan=scan.id,
                reference=scan.reference,
                error_code=scan.error_code,
                error=scan.error,
            )
        case _:
            return ImageAnswer(digest=digest, state=ImageState.UNKNOWN)


def now_at() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)
