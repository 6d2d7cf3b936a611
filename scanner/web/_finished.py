"""Measure the scans that workers finished, in whatever process: their rows tell what each took.

Every server measures all scans that end while it runs: take one server's figures, or the mean, never the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from scanner.ports import ScanRecord, ServiceStore
from scanner.web._metrics import Metrics

_OVERLAP: Final = timedelta(seconds=30)
"""A moment is chosen before it is written: what ended earlier may be seen later, by about this much at most."""
_PAGE_COUNT: Final = 1_000
_PAGES_COUNT: Final = 100
_STAGES: Final = frozenset({"resolve", "extract", "merge"})


class FinishedScans:
    """Remembers which scans were measured."""

    def __init__(self, store: ServiceStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._began_at = self._since = datetime.now(UTC)
        self._seen: dict[str, datetime] = {}

    async def measure(self) -> None:
        """Measure what ended since the last call; raises StoreError."""
        since = max(self._began_at, self._since - _OVERLAP)
        for _ in range(_PAGES_COUNT):
            records = await self._store.finished_scans(since, limit=_PAGE_COUNT)
            for record in records:
                self._measure(record)
            last_at = records[-1].finished_at if len(records) == _PAGE_COUNT else None
            if last_at is None or last_at == since:
                break
            since = last_at
        self._seen = {i: at for i, at in self._seen.items() if at >= self._since - 2 * _OVERLAP}

    def _measure(self, record: ScanRecord) -> None:
        ended_at = record.finished_at
        if ended_at is None or record.id in self._seen:
            return
        self._seen[record.id] = ended_at
        self._since = max(self._since, ended_at)
        waited_seconds = (ended_at - record.created_at).total_seconds()
        self._metrics.scan_waits.labels(record.state).observe(max(0.0, waited_seconds))
        self._measure_cost(record.progress)

    def _measure_cost(self, took: Mapping[str, Any]) -> None:
        for stage, seconds in took.get("stage_seconds", {}).items():
            if stage in _STAGES:
                self._metrics.scan_seconds.labels(stage).observe(seconds)
        cached_count = took.get("cached_layers_count", 0)
        self._metrics.scan_bytes.inc(took.get("read_bytes", 0))
        self._metrics.scan_layers.labels("hit").inc(cached_count)
        self._metrics.scan_layers.labels("miss").inc(took.get("layers_count", 0) - cached_count)
