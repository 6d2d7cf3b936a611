"""What the exit codes of ``scanner scan`` and ``scanner query`` say. The worst that applies wins, in the order below."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from scanner.model import Decision, ScanReport, ScanState, Severity


class ExitCode(IntEnum):
    """Distinct, documented in ``docs/cli.md``, stable."""

    CLEAN = 0
    """Everything was looked at, and nothing reached ``--fail-on``."""
    DENIED = 1
    """A finding reaches ``--fail-on``, or the policy denies."""
    USAGE = 2
    """Wrong option, reference or setting; nothing was scanned."""
    INCOMPLETE = 3
    """Scanned, but something could not be looked at: see the coverage block."""
    FAILED = 4
    """The image could not be scanned."""
    UNKNOWN = 5
    """``scanner query``: never scanned, or not yet; ``scanner verify``: there is no attestation."""
    UNVERIFIED = 6
    """``scanner verify``: there are attestations, but none proves what was asked for."""
    STALE = 7
    """``scanner verify``: what would prove it is out of date."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or SIGTERM."""


def exit_code_of(report: ScanReport, fail_on: Severity | None) -> ExitCode:
    """Return the exit code for a finished scan: failed before denied before incomplete."""
    if report.state is ScanState.FAILED:
        return ExitCode.FAILED
    if fail_on is not None and any(
        f.severity.rank >= fail_on.rank for image in report.images for f in image.findings
    ):
        return ExitCode.DENIED
    if report.verdict is not msgspec.UNSET and report.verdict.decision is Decision.DENY:
        return ExitCode.DENIED
    return ExitCode.INCOMPLETE if report.state is ScanState.PARTIAL else ExitCode.CLEAN
