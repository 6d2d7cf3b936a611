"""Where tags lead, asked while somebody waits: in bounded time, each only once in a few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from scanner.errors import ScannerError, UpstreamError
from scanner.service._walk import Names, OpenNames

_THREADS: Final = 16
_OF_ONE_REGISTRY: Final = 4
"""Requests to one registry at once: one that hangs must not keep others' answers waiting."""
_KEPT_COUNT: Final = 4_096
_ERROR_SECONDS: Final = 2.0
"""A registry that does not answer is not asked for the same tag again for so long."""


class _Answer(NamedTuple):
    until: float
    digest: str
    error: ScannerError | None


class TagAnswers:
    """Asks registries with their own credentials. The caller has checked that they may be asked."""

    def __init__(
        self,
        open_names: OpenNames,
        *,
        kept_seconds: float,
        registry_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_names = open_names
        self._kept_seconds = kept_seconds
        self._registry_seconds = registry_seconds
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="admission-tags")
        self._open: dict[str, Names] = {}
        self._kept: dict[tuple[str, str, str], _Answer] = {}
        self._running: dict[tuple[str, str, str], asyncio.Task[_Answer]] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}

    async def digest(self, registry: str, repository: str, tag: str) -> str:
        """Return what a tag leads to now, or a few seconds ago; empty if there is no such tag.

        Raises:
            ScannerError: the registry does not tell, or not in time.
        """
        key = (registry, repository, tag)
        kept = self._kept.get(key)
        if kept is None or kept.until <= self._clock():
            kept = await self._asked(key)
        if kept.error is not None:
            raise kept.error
        return kept.digest

    async def _asked(self, key: tuple[str, str, str]) -> _Answer:
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(self._run(key))
            running.add_done_callback(lambda done: self._done(key, done))
        try:
            # Shielded: others may wait for the same answer, and it is good for those who ask next.
            return await asyncio.wait_for(asyncio.shield(running), self._registry_seconds)
        except TimeoutError:
            reason = f"no answer within {self._registry_seconds:g} seconds"
            error = UpstreamError(key[0], "ask for a tag", reason, retryable=True)
            return _Answer(0.0, "", error)

    async def _run(self, key: tuple[str, str, str]) -> _Answer:
        gate = self._gates.setdefault(key[0], asyncio.Semaphore(_OF_ONE_REGISTRY))
        async with gate:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._ask, key)

    def _done(self, key: tuple[str, str, str], done: asyncio.Task[_Answer]) -> None:
        self._running.pop(key, None)
        if not done.cancelled() and done.exception() is None:
            if len(self._kept) >= _KEPT_COUNT:
                self._kept.clear()
            self._kept[key] = done.result()

    def _ask(self, key: tuple[str, str, str]) -> _Answer:
        registry, repository, tag = key
        try:
            names = self._open.get(registry)
            if names is None:
                names = self._open.setdefault(registry, self._open_names(registry))
            digest = names.digest_of_tag(repository, tag) or ""
        except ScannerError as error:
            return _Answer(self._clock() + _ERROR_SECONDS, "", error)
        return _Answer(self._clock() + self._kept_seconds, digest, None)

    def close(self) -> None:
        """Stop asking; requests under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for names in self._open.values():
            names.close()
