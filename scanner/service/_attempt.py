"""One try at one scan: what to scan, in a thread of its own, and what its end means for the queue."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from scanner.errors import (
    ForbiddenHostError,
    InvalidReferenceError,
    ScannerError,
    SettingsError,
    StoreError,
    UpstreamError,
)
from scanner.model import Platform, ScanReport, parse_reference
from scanner.model.reference import parse_platform
from scanner.pipeline.context import ScanContext
from scanner.pipeline.scan import scan
from scanner.ports import ScanRecord
from scanner.service._tally import Tally

_LONGEST_WAIT_SECONDS: Final = 6 * 3_600.0
"""What a registry may ask for; the widest window of a rate limit that is in use."""
_REASON_LENGTH: Final = 500
_MAY_PASS: Final = frozenset({UpstreamError.code, StoreError.code})
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try came to nothing, as the queue is told."""

    code: str
    reason: str
    retryable: bool
    after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to scan."""

    reference: str
    platforms: tuple[Platform, ...]


def task_of(record: ScanRecord, is_allowed: Callable[[str], bool]) -> Task:
    """Return what a record asks for; nothing but that registry's repository may come of it.

    Raises:
        InvalidReferenceError: its names mean something else than they say.
        ForbiddenHostError: its registry is not one that may be asked.
    """
    tag = f":{record.tag}" if record.tag else ""
    digest = f"@{record.digest}" if record.digest else ""
    text = f"{record.registry}/{record.repository}{tag}{digest}"
    reference = parse_reference(text)
    if (reference.registry, reference.repository) != (record.registry, record.repository):
        raise InvalidReferenceError(text[:160], "its parts are not those of a reference")
    if not is_allowed(reference.registry):
        reason = "it is not among the registries that may be asked (server.allowed_registries)"
        raise ForbiddenHostError(reference.registry, "scan", reason)
    # The scheme, because a host could be called like one, or like a file.
    return Task(f"registry://{reference}", tuple(map(parse_platform, record.platforms)))


@dataclass
class Attempt:
    """A scan under way in a thread. Once ``over`` is set, ``report`` or ``failure`` tells its end."""

    task: Task
    context: ScanContext
    progress: Tally = field(default_factory=Tally)
    over: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    report: ScanReport | None = None
    failure: Failure | None = None

    def start(self) -> None:
        """Begin. The thread does not keep the process from ending."""
        run = contextvars.copy_context().run  # the scan's id, for log lines
        threading.Thread(target=run, args=(self._run,), name="scan", daemon=True).start()

    def stop(self, seconds: float) -> bool:
        """Ask the scan to stop; return whether it did within so many seconds."""
        self.cancelled.set()
        return self.over.wait(seconds)

    def _run(self) -> None:
        try:
            self.report = scan(
                self.task.reference,
                self.task.platforms,
                self.context,
                self.progress,
                self.cancelled,
            )
        except ScannerError as error:
            self.failure = failure_of(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end the worker
            _LOG.exception("scan broke off")
            reason = f"the scanner failed: {type(error).__name__}"
            # Memory and disk may be free again; other defects stay what they are.
            retryable = isinstance(error, MemoryError | OSError)
            self.failure = Failure("internal-error", reason, retryable)
        finally:
            self.over.set()


def failure_of(error: ScannerError) -> Failure:
    """Return what the queue is told of an error, and whether another try may go better."""
    retryable = error.retryable or isinstance(error, StoreError | SettingsError)
    asked = error.after_seconds if isinstance(error, UpstreamError) else 0.0
    reason = "".join(c if c.isprintable() else " " for c in str(error))[:_REASON_LENGTH]
    return Failure(error.code, reason, retryable, min(asked, _LONGEST_WAIT_SECONDS))


def passing_failure(report: ScanReport) -> Failure | None:
    """Return why a report is incomplete, if another try may see more: a registry that failed half-way."""
    for image in report.images:
        for issue in image.coverage.issues:
            if issue.code in _MAY_PASS:
                return Failure(issue.code, issue.reason[:_REASON_LENGTH], retryable=True)
    return None
