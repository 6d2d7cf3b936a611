"""Run an iterator in a thread of its own, a few items ahead of its consumer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.1


@contextmanager
def ahead(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Give an iterator over ``items``, which is advanced up to ``depth`` items ahead by a thread.

    What ``items`` raises is raised to the consumer, in its place. When the context ends early the thread
    stops at its next item; it is joined before the context is left.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: tuple[T | None, BaseException | None, bool]) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=_POLL_SECONDS)
                return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None, False)):
                    return
            put((None, None, True))
        except BaseException as error:  # noqa: BLE001 - handed to the consumer
            put((None, error, True))

    def consume() -> Iterator[T]:
        while True:
            item, error, last = waiting.get()
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc] # not the last, so it is an item

    thread = threading.Thread(target=produce, name="inflate", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        thread.join()
