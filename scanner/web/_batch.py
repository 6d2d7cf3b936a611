"""Group what many requests write (or ask) at once into few transactions, and answer each only after its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


class Batch(Generic[I, R]):
    """Collect items while the batch before is being written; write them in one call, or look them up.

    ``write`` gets 1 to ``most_count`` items in the order of their arrival and returns as many results. If it
    raises, every request of that batch gets the error, and none was written.
    """

    def __init__(
        self,
        write: Callable[[Sequence[I]], Awaitable[Sequence[R]]],
        *,
        most_count: int = 500,
        gather_seconds: float = 0.002,
    ) -> None:
        self._write = write
        self._most_count = most_count
        self._gather_seconds = gather_seconds
        self._waiting: list[tuple[I, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: I) -> R:
        """Return the item's result once its transaction is committed; raises what ``write`` raises."""
        return await self._put(item)

    def add_unwatched(self, item: I) -> None:
        """Write the item soon; nobody waits, so nobody is told if it cannot be written."""
        self._put(item)

    def _put(self, item: I) -> asyncio.Future[R]:
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return done

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            if self._gather_seconds:
                await asyncio.sleep(self._gather_seconds)
            taken = self._waiting[: self._most_count]
            del self._waiting[: self._most_count]
            try:
                results = await self._write([item for item, _ in taken])
            except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
                _fail(taken, error)
                continue
            for (_, done), result in zip(taken, results, strict=True):
                if not done.done():
                    done.set_result(result)


def _fail(taken: Sequence[tuple[I, asyncio.Future[R]]], error: Exception) -> None:
    for _, done in taken:
        if not done.done():
            done.set_exception(error)
            done.exception()  # a client that went away leaves nobody to ask for it
