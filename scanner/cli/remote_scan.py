"""``scanner scan --server``: have a server scan, follow it, bring its report."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from scanner import app_service
from scanner.cli.asking import ScanStatus, ServerAsker
from scanner.cli.exit_codes import ExitCode
from scanner.config import Settings
from scanner.errors import InvalidReferenceError, UpstreamError
from scanner.model import Platform, ScanReport, parse_reference

if TYPE_CHECKING:
    from scanner.cli.progress import LiveProgress

_SCHEMES: Final = ("docker://", "registry://")
_LOCAL: Final = (".", "/", "oci:", "oci-archive:", "docker-archive:", "dir:")
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 300.0
"""A server that cannot be reached for so long is given up."""


def scan_on_server(
    settings: Settings,
    reference: str,
    platforms: Sequence[Platform],
    progress: LiveProgress | None,
) -> ScanReport:
    """Return the report of a scan that the server ``client.url`` does. Ctrl-C and SIGTERM leave it to go on.

    Raises:
        InvalidReferenceError: no reference of a registry: a server scans nothing else.
        UpstreamError: the server cannot be asked, or could not scan.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(ExitCode.INTERRUPTED))
    named = _in_registry(reference)
    with ServerAsker(app_service.client_options(settings)) as server:
        first = server.start_scan(named, [str(p) for p in platforms])
        show = _Display(progress)
        for status in _news(server, first):
            show.status(status)
        return _report(server, status)


def _in_registry(reference: str) -> str:
    if reference.startswith(_LOCAL):
        raise InvalidReferenceError(reference, "a server scans images of registries only")
    for scheme in _SCHEMES:
        reference = reference.removeprefix(scheme)
    return str(parse_reference(reference))


def _news(server: ServerAsker, first: ScanStatus) -> Iterator[ScanStatus]:
    """Yield the scan whenever there is news, and at last once it is over, through cut connections."""
    yield first
    status = first
    wait_seconds, heard_at = _FIRST_WAIT_SECONDS, time.monotonic()
    while not status.is_over:
        try:
            for status in server.follow_scan(first.id):
                wait_seconds, heard_at = _FIRST_WAIT_SECONDS, time.monotonic()
                yield status
            if status.is_over:
                return
        except UpstreamError as error:
            if not error.retryable or time.monotonic() - heard_at > _SILENT_SECONDS:
                raise
        time.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 2, _LONGEST_WAIT_SECONDS)


def _report(server: ServerAsker, status: ScanStatus) -> ScanReport:
    report = server.report(status.digest) if status.digest else None
    if report is None or status.state == "cancelled":
        raise server.failed("scan", status.error or f"the scan is {status.state}, without a report")
    return report


class _Display:
    """One line on the terminal: the stage, or the bytes that were read."""

    def __init__(self, progress: LiveProgress | None) -> None:
        self._progress = progress
        self._line: object = None

    def status(self, status: ScanStatus) -> None:
        """Show how far the scan is."""
        if self._progress is None or status.is_over:
            return
        done, total = (status.progress.get(n) for n in ("done_bytes", "total_bytes"))
        if self._line is None:
            self._line = self._progress.begin("server", 0)
        counts = {"completed": done, "total": total} if total else {}
        self._progress.update(self._line, state=status.stage or status.state, **counts)
