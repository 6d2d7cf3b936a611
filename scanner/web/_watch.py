"""Follow scans for many listeners: each scan that somebody follows is read once a moment, for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from scanner.errors import StoreError
from scanner.ports import ScanRecord, ServiceStore
from scanner.web._problems import RequestError

_LOG: Final = logging.getLogger(__name__)
MOST_LISTENERS: Final = 256


class Listener:
    """One client's view of a scan: what it was told last, and whether there is something newer."""

    def __init__(self, record: ScanRecord) -> None:
        self.record = record
        self._is_closed = False
        self._changed = asyncio.Event()

    def tell(self, record: ScanRecord) -> None:
        """Note the scan as it is now; what was noted before and not taken yet is forgotten."""
        if record != self.record:
            self.record = record
            self._changed.set()

    def close(self) -> None:
        """Nothing more will be told."""
        self._is_closed = True
        self._changed.set()

    def has_ended(self) -> bool:
        """Whether nothing more will be told, though the scan may not be over."""
        return self._is_closed

    async def wait(self, seconds: float) -> bool:
        """Return True once there is something new, or False after ``seconds`` without."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        is_new = self._changed.is_set()
        self._changed.clear()
        return is_new


class ScanWatch:
    """Reads the scans that are followed; does nothing while none is."""

    def __init__(
        self, store: ServiceStore, *, poll_seconds: float = 0.5, most_count: int = MOST_LISTENERS
    ) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._most_count = most_count
        self._listeners: dict[str, set[Listener]] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @contextlib.contextmanager
    def listen(self, record: ScanRecord) -> Iterator[Listener]:
        """Follow a scan.

        Raises:
            RequestError: 503: too many follow one already.
        """
        if self._count >= self._most_count or self._is_closed:
            detail = "too many clients follow scans; ask without text/event-stream"
            raise RequestError(503, "too-many-streams", detail, headers={"Retry-After": "5"})
        listener = Listener(record)
        self._count += 1
        self._listeners.setdefault(record.id, set()).add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            yield listener
        finally:
            self._count -= 1
            followers = self._listeners[record.id]
            followers.discard(listener)
            if not followers:
                del self._listeners[record.id]

    def close(self) -> None:
        """End every stream: the service is about to stop, and clients ask again elsewhere."""
        self._is_closed = True
        for followers in self._listeners.values():
            for listener in followers:
                listener.close()

    async def _poll(self) -> None:
        while self._listeners:
            await asyncio.sleep(self._poll_seconds)
            for scan_id in tuple(self._listeners):
                try:
                    record = await self._store.scan(scan_id)
                except StoreError as error:
                    _LOG.warning("scan cannot be followed just now", extra={"code": error.code})
                    break
                for listener in self._listeners.get(scan_id, ()):
                    if record is None:
                        listener.close()
                    else:
                        listener.tell(record)
