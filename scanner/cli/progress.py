"""The live display: a line per layer being read, on a terminal only."""

from __future__ import annotations

import threading
from typing import Any

from scanner.ports import LayerProgress


class LiveProgress:
    """Draws on standard error. rich is imported when the first layer is really read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._display: Any = None

    def stage(self, name: str) -> None:
        """Stages are too short to be drawn, except reading layers."""

    def layer(self, digest: str, compressed_bytes: int, platform: str) -> LayerProgress:
        """Return the line of one layer; it shows when its first bytes come."""
        return _Line(self, f"{digest.partition(':')[2][:12]} {platform}", compressed_bytes)

    def begin(self, label: str, total_bytes: int) -> Any:
        """Add a line; returns its task id."""
        with self._lock:
            if self._display is None:
                self._display = _display()
                self._display.start()
            return self._display.add_task(label, total=total_bytes or None, state="reading", out="")

    def update(self, task: Any, **changes: Any) -> None:
        """Change a line."""
        with self._lock:
            self._display.update(task, **changes)

    def close(self) -> None:
        """Remove the display."""
        with self._lock:
            if self._display is not None:
                self._display.stop()
                self._display = None


class _Line:
    """One layer. Redraws at most once per megabyte."""

    def __init__(self, owner: LiveProgress, label: str, total_bytes: int) -> None:
        self._owner = owner
        self._label = label
        self._total_bytes = total_bytes
        self._task: Any = None
        self._out_bytes = 0

    def advance(self, compressed_bytes: int, uncompressed_bytes: int) -> None:
        if self._task is None:
            self._task = self._owner.begin(self._label, self._total_bytes)
        self._out_bytes += uncompressed_bytes
        self._owner.update(
            self._task, advance=compressed_bytes, out=f"{self._out_bytes / 1e6:,.0f} MB out"
        )

    def finish(self, state: str) -> None:
        if self._task is not None:
            self._owner.update(self._task, state=state)


def _display() -> Any:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[out]}"),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
        transient=True,
    )
