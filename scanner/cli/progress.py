"""The live display: a line per layer being read, on a terminal only."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Final

from scanner.ports import LayerProgress

_FINISHED_SHOWN: Final = 8
_BAR_COLUMNS: Final = 16
_REDRAWS_PER_SECOND: Final = 5.0


class LiveProgress:
    """Draws on standard error. rich is imported when the first layer is really read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._display: Any = None
        self._finished: deque[Any] = deque()

    def stage(self, name: str) -> None:
        """Stages are too short to be drawn, except reading layers."""

    def layer(self, digest: str, compressed_bytes: int, platform: str) -> LayerProgress:
        """Return the line of one layer; it shows when its first bytes come."""
        short = f"{digest.partition(':')[2][:12]} {platform.removeprefix('linux/')}"
        return _Line(self, short, compressed_bytes)

    def begin(self, label: str, total_bytes: int) -> Any:
        """Add a line; returns its task id."""
        with self._lock:
            if self._display is None:
                self._display = _display()
                self._display.start()
            return self._display.add_task(label, total=total_bytes or None, state="")

    def update(self, task: Any, **changes: Any) -> None:
        """Change a line."""
        with self._lock:
            if self._display is not None:
                self._display.update(task, **changes)

    def end(self, task: Any, state: str) -> None:
        """Write a line's last word; of many finished lines only the newest stay, so that all fits."""
        self.update(task, state=state)
        self._finished.append(task)
        if len(self._finished) > _FINISHED_SHOWN:
            self.update(self._finished.popleft(), visible=False)

    def close(self) -> None:
        """Remove the display."""
        with self._lock:
            if self._display is not None:
                self._display.stop()
                self._display = None


class _Line:
    """One layer: told of every window, drawn a few times a second."""

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
        out = f"{self._out_bytes / 1e6:,.0f} MB unpacked"
        self._owner.update(self._task, advance=compressed_bytes, state=out)

    def finish(self, state: str) -> None:
        if self._task is not None:
            self._owner.end(self._task, state)


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
        BarColumn(_BAR_COLUMNS),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=_REDRAWS_PER_SECOND,
    )
