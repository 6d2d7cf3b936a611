"""How far a scan is, added up from the threads that read its layers."""

from __future__ import annotations

import threading
from typing import Any

from scanner.ports import LayerProgress


class Tally:
    """A ``Progress`` that only counts; :meth:`snapshot` tells the counts at any time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage = ""
        self._counts = {
            "layers_count": 0,
            "layers_done_count": 0,
            "total_bytes": 0,
            "done_bytes": 0,
            "uncompressed_bytes": 0,
        }

    def stage(self, name: str) -> None:
        """Remember the stage."""
        with self._lock:
            self._stage = name

    def layer(self, digest: str, compressed_bytes: int, platform: str) -> LayerProgress:  # noqa: ARG002
        """Count a layer whose reading begins."""
        self.add(layers_count=1, total_bytes=compressed_bytes)
        return _TallyLayer(self, compressed_bytes)

    def add(self, **more: int) -> None:
        """Add to the counts."""
        with self._lock:
            for name, count in more.items():
                self._counts[name] += count

    def snapshot(self) -> tuple[str, dict[str, Any]]:
        """Return the stage and the counts: layers begun and done, their compressed bytes, bytes inflated."""
        with self._lock:
            return self._stage, dict(self._counts)


class _TallyLayer:
    def __init__(self, tally: Tally, compressed_bytes: int) -> None:
        self._tally = tally
        self._left_bytes = compressed_bytes

    def advance(self, compressed_bytes: int, uncompressed_bytes: int) -> None:
        # A layer may be longer than its manifest says, until that is found out.
        counted = min(compressed_bytes, self._left_bytes)
        self._left_bytes -= counted
        self._tally.add(done_bytes=counted, uncompressed_bytes=uncompressed_bytes)

    def finish(self, state: str) -> None:  # noqa: ARG002 - done is done
        self._tally.add(layers_done_count=1, done_bytes=self._left_bytes)
        self._left_bytes = 0
