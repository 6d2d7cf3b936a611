"""What a scan is given: everything it may use, made once by the composition root."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scanner.errors import LimitExceededError, ScanCancelledError
from scanner.layers.scan import LayerScanner
from scanner.pipeline.match import Matching
from scanner.ports import Analyzer, Limits, Progress, ReportStore, SourceFactory, SourceOptions


@dataclass(frozen=True)
class ScanContext:
    """Collaborators and settings of scans; may serve many scans, one after another or at once."""

    store: ReportStore
    load_analyzers: Callable[[], tuple[Analyzer, ...]]
    """Called when something has to be looked at; not for an image whose report is stored."""
    fingerprint: str
    sources: tuple[SourceFactory, ...]
    source_options: SourceOptions
    limits: Limits
    cache_dir: Path
    mime: Callable[[bytes], str]
    layers_parallel: int = 2
    """Layers read at once; a registry can be slower with more streams."""
    matching: Matching | None = None
    """Where advisories come from; None looks for no vulnerabilities."""
    _making: threading.RLock = field(default_factory=threading.RLock, compare=False)
    """Layers' threads ask together; what is made must be made by one."""

    @property
    def analyzers(self) -> tuple[Analyzer, ...]:
        """Every analyzer."""
        with self._making:
            return self._analyzers

    @property
    def layer_scanner(self) -> LayerScanner:
        """The engine, compiled when the first layer has to be read."""
        with self._making:
            return self._layer_scanner

    @cached_property
    def _analyzers(self) -> tuple[Analyzer, ...]:
        return self.load_analyzers()

    @cached_property
    def _layer_scanner(self) -> LayerScanner:
        return LayerScanner(
            self.analyzers,
            self.limits,
            spool_dir=self.source_options.spool_dir,
            cache_dir=self.cache_dir,
            mime=self.mime,
        )


@dataclass
class ScanRun:
    """One scan under way: who watches, when it must end, where its time went."""

    progress: Progress
    deadline: float
    limit_seconds: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    _stage: str = ""
    _since: float = 0.0

    def check(self) -> None:
        """Return if the scan may go on.

        Raises:
            ScanCancelledError: somebody asked it to stop.
            LimitExceededError: ``scan_seconds`` are over.
        """
        self.check_cancelled()
        now = time.monotonic()
        if now > self.deadline:
            raise LimitExceededError(
                "scan_seconds", self.limit_seconds, self.limit_seconds + now - self.deadline
            )

    def check_cancelled(self) -> None:
        """Like :meth:`check`, but out of time is for the caller to tell."""
        if self.cancelled.is_set():
            raise ScanCancelledError("the scan was stopped")

    def enter(self, stage: str) -> None:
        """Begin a stage; the time since the last one is booked to that."""
        now = time.monotonic()
        if self._stage:
            spent = self.stage_seconds.get(self._stage, 0.0) + now - self._since
            self.stage_seconds[self._stage] = round(spent, 4)
        self._stage, self._since = stage, now
        if stage:
            self.progress.stage(stage)
