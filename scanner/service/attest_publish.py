"""Publish stored statements beside their images, registry by registry; what fails is tried again, later each time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from scanner.errors import NotFoundError, ScannerError, StoreError, UpstreamError
from scanner.ports.attestations import (
    AttestationStore,
    PublicationState,
    PublishingTask,
    StoredStatement,
)

_LOG: Final = logging.getLogger(__name__)
_MOST_DOUBLINGS: Final = 12

Publish = Callable[[PublishingTask, Sequence[StoredStatement]], None]
"""Publish statements of our key about one digest in one repository; raises ScannerError. Called in a thread."""
Tell = Callable[[PublicationState], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """How much is published at once, and when again."""

    parallel_count: int = 8
    """Publications at once, to all registries."""
    registry_parallel_count: int = 4
    """Publications at once to one registry."""
    tasks_count: int = 20
    """Publications taken at once."""
    poll_seconds: float = 1.0
    round_seconds: float = 5.0
    """Longest that one registry keeps the others waiting."""
    failed_seconds: float = 10.0
    """First wait after a failure; it doubles with each."""
    refused_seconds: float = 300.0
    """The same where the registry does not let us."""
    longest_failed_seconds: float = 3_600.0
    longest_refused_seconds: float = 6 * 3_600.0
    missing_count: int = 5
    """Tries beside an image that is not there; its next scan there begins anew."""


async def run_publishing(
    store: AttestationStore,
    publish: Publish,
    key_id: str,
    *,
    is_allowed: Callable[[str], bool],
    tell: Tell,
    options: PublishOptions | None = None,
) -> None:
    """Publish what ``key_id`` has signed until cancelled. Only registries that are allowed are asked."""
    loop = _Publishing(
        store,
        publish,
        key_id=key_id,
        is_allowed=is_allowed,
        tell=tell,
        options=options or PublishOptions(),
    )
    try:
        while True:
            try:
                await loop.round()
            except StoreError as error:
                _LOG.warning("nothing published", extra={"code": error.code})
                await asyncio.sleep(loop.options.poll_seconds)
            except Exception:  # noqa: BLE001 - a defect must not end the loop
                _LOG.exception("publishing broke off")
                await asyncio.sleep(loop.options.failed_seconds)
    finally:
        loop.close()


class _Publishing:
    def __init__(
        self,
        store: AttestationStore,
        publish: Publish,
        *,
        key_id: str,
        is_allowed: Callable[[str], bool],
        tell: Tell,
        options: PublishOptions,
    ) -> None:
        self._store = store
        self._publish = publish
        self._key_id = key_id
        self._is_allowed = is_allowed
        self._tell = tell
        self.options = options
        self._threads = ThreadPoolExecutor(options.parallel_count, thread_name_prefix="publish")
        self._busy: dict[str, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Stop; publications under way end by themselves, and are made again by whoever goes on."""
        for task in self._busy.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def round(self) -> None:
        """Take some publications and make them, their registries side by side."""
        taken = await self._store.publishing_tasks(self.options.tasks_count)
        self._busy = {name: task for name, task in self._busy.items() if not task.done()}
        for registry, tasks in _by_registry(taken).items():
            if registry not in self._busy:  # else they come again
                self._busy[registry] = asyncio.create_task(self._publish_all(tasks))
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=self.options.round_seconds)
        if len(taken) < self.options.tasks_count:
            await asyncio.sleep(self.options.poll_seconds)

    async def _publish_all(self, tasks: Sequence[PublishingTask]) -> None:
        gate = asyncio.Semaphore(self.options.registry_parallel_count)

        async def one(task: PublishingTask) -> None:
            async with gate:
                await self._do(task)

        await asyncio.gather(*map(one, tasks))

    async def _do(self, task: PublishingTask) -> None:
        extra = {"registry": task.registry, "repository": task.repository, "digest": task.digest}
        try:
            state, code, reason, after_seconds = await self._outcome(task)
            await self._store.record_published(
                task, state, next_at=self._next_at(task, state, after_seconds),
                code=code, reason=reason,
            )  # fmt: skip
        except StoreError as error:
            _LOG.warning("publication not recorded", extra={**extra, "code": error.code})
            return
        except Exception:  # noqa: BLE001 - it comes again; the others must not wait for it
            _LOG.exception("not published", extra=extra)
            state, code = PublicationState.FAILED, "internal-error"
        self._tell(state)
        if state is PublicationState.PUBLISHED:
            _LOG.info("published", extra=extra)
        else:
            _LOG.warning("not published", extra={**extra, "state": state.value, "code": code})

    async def _outcome(self, task: PublishingTask) -> tuple[PublicationState, str, str, float]:
        """Return what became of a publication: state, code and reason, and the wait that was asked for."""
        if not self._is_allowed(task.registry):
            reason = "the registry is not among server.allowed_registries"
            longest = self.options.longest_refused_seconds
            return PublicationState.REFUSED, "forbidden-host", reason, longest
        known = await self._store.attestations(task.digest, with_envelopes=True)
        now = datetime.now(UTC)
        ours = [s for s in known.statements if s.key_id == self._key_id and s.expires_at > now]
        if not ours:
            return PublicationState.FAILED, "no-statement", "nothing of our key that counts", 0.0
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._publish, task, ours)
        except StoreError:
            raise
        except ScannerError as error:
            waited = error.after_seconds if isinstance(error, UpstreamError) else 0.0
            return _state_of(error), error.code, str(error), waited
        return PublicationState.PUBLISHED, "", "", 0.0

    def _next_at(
        self, task: PublishingTask, state: PublicationState, after_seconds: float
    ) -> datetime | None:
        options = self.options
        if state is PublicationState.PUBLISHED:
            return None
        if state is PublicationState.MISSING and task.attempts + 1 >= options.missing_count:
            return None
        first, longest = options.refused_seconds, options.longest_refused_seconds
        if state is PublicationState.FAILED:
            first, longest = options.failed_seconds, options.longest_failed_seconds
        seconds = min(first * 2 ** min(task.attempts, _MOST_DOUBLINGS), longest)
        seconds *= random.uniform(0.75, 1.0)  # noqa: S311 - so that not all come back at once
        return datetime.now(UTC) + timedelta(seconds=min(max(seconds, after_seconds), longest))


def _state_of(error: ScannerError) -> PublicationState:
    if isinstance(error, NotFoundError):
        return PublicationState.MISSING
    return PublicationState.FAILED if error.retryable else PublicationState.REFUSED


def _by_registry(tasks: Sequence[PublishingTask]) -> dict[str, list[PublishingTask]]:
    found: defaultdict[str, list[PublishingTask]] = defaultdict(list)
    for task in tasks:
        found[task.registry].append(task)
    return found
