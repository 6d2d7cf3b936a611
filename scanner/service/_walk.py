"""Walk what a registry names, slowly: no faster than told, trying again what can pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from scanner.errors import InvalidReferenceError, UpstreamError
from scanner.model import parse_reference

T = TypeVar("T")

_TRIES_COUNT: Final = 4
_FAILURES_COUNT: Final = 3
"""Requests that failed for good, one after another, until the registry is taken to be down."""
_LONGEST_WAIT_SECONDS: Final = 3_600.0
"""What a registry may ask for before the next request."""
_PAGES_COUNT: Final = 10_000
"""Of one listing; a registry that has more is not believed."""
_LOG: Final = logging.getLogger(__name__)


class NamePage(Protocol):
    """Some names, and what to ask for the next ones with; empty on the last page."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def next(self) -> str: ...


class Names(Protocol):
    """One registry, asked for names. Blocking; every method raises UpstreamError."""

    def repositories(self, after: str = "") -> NamePage:
        """Return a page of its repositories."""

    def tags(self, repository: str, after: str = "") -> NamePage:
        """Return a page of a repository's tags."""

    def digest_of_tag(self, repository: str, tag: str) -> str | None:
        """Return what a tag leads to now; None if it is gone."""

    def close(self) -> None:
        """Close every connection."""


OpenNames = Callable[[str], Names]
"""Open a registry by ``host[:port]``. It must not try again by itself: the waiting is done here."""


@dataclass(frozen=True, slots=True)
class Target:
    """A registry, or one repository of it."""

    registry: str
    repository: str = ""

    def __str__(self) -> str:
        """``registry.example/team/app``."""
        return f"{self.registry}/{self.repository}".removesuffix("/")


def parse_target(text: str) -> Target:
    """Return ``registry[/repository]`` as a target.

    Raises:
        InvalidReferenceError: no such thing; a tag or a digest is none of it.
    """
    if "/" in text:
        reference = parse_reference(f"{text}:x")
        return Target(reference.registry, reference.repository)
    reference = parse_reference(f"{text}/x/x:x")
    if reference.repository != "x/x":
        raise InvalidReferenceError(text[:160], "name a registry by host[:port]")
    return Target(reference.registry)


class Walk:
    """One registry being walked, one request at a time."""

    def __init__(self, names: Names, *, per_second: float, first_wait_seconds: float = 1.0) -> None:
        self._names = names
        self._interval_seconds = 1.0 / per_second
        self._first_wait_seconds = first_wait_seconds
        self._next_at = 0.0
        self._failures_count = 0
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="walk")

    async def repositories(self) -> AsyncIterator[str]:
        """Yield every repository once; raises like :meth:`digest`."""
        async for name in self._listed(self._names.repositories):
            yield name

    async def tags(self, repository: str) -> AsyncIterator[str]:
        """Yield every tag of a repository once; raises like :meth:`digest`."""
        async for name in self._listed(lambda after: self._names.tags(repository, after)):
            yield name

    async def digest(self, repository: str, tag: str) -> str | None:
        """Return what a tag leads to; None if it is gone.

        Raises:
            UpstreamError: the registry does not answer as it should, however often it is asked.
        """
        return await self._ask(lambda: self._names.digest_of_tag(repository, tag))

    def close(self) -> None:
        """Let go of the registry; a request under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._names.close()

    async def _listed(self, page_after: Callable[[str], NamePage]) -> AsyncIterator[str]:
        after, asked, seen = "", set[str](), set[str]()
        while after not in asked and len(asked) < _PAGES_COUNT:
            asked.add(after)
            current = after
            page = await self._ask(lambda: page_after(current))  # noqa: B023 - awaited at once
            for name in page.names:
                if name not in seen:
                    seen.add(name)
                    yield name
            if not page.next:
                return
            after = page.next
        _LOG.warning("a registry's pages do not end", extra={"names_count": len(seen)})

    async def _ask(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, tried again; of a registry that is down, once, to end soon."""
        is_down = self._failures_count >= _FAILURES_COUNT
        wait_seconds = self._first_wait_seconds
        for tries_left in reversed(range(1 if is_down else _TRIES_COUNT)):
            try:
                answer = await self._ask_once(call)
            except UpstreamError as error:
                if not error.retryable or not tries_left:
                    self._failures_count += error.retryable
                    raise
                self._pause(error, wait_seconds)
            else:
                self._failures_count = 0
                return answer
            wait_seconds *= 4
        raise AssertionError("unreachable: the last try raises")

    async def _ask_once(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next_at - loop.time())
        self._next_at = loop.time() + self._interval_seconds
        return await loop.run_in_executor(self._threads, call)

    def _pause(self, error: UpstreamError, wait_seconds: float) -> None:
        seconds = min(max(error.after_seconds, wait_seconds), _LONGEST_WAIT_SECONDS)
        shown = {"registry": error.host, "wait_seconds": seconds}
        _LOG.info("waiting for a registry", extra=shown)
        self._next_at = asyncio.get_running_loop().time() + seconds


@asynccontextmanager
async def walking(
    open_names: OpenNames, registry: str, *, per_second: float, first_wait_seconds: float = 1.0
) -> AsyncIterator[Walk]:
    """Open a registry for the time of a walk; raises what ``open_names`` raises."""
    names = await asyncio.to_thread(open_names, registry)
    walk = Walk(names, per_second=per_second, first_wait_seconds=first_wait_seconds)
    try:
        yield walk
    finally:
        walk.close()
