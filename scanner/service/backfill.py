"""Queue what a registry holds already, from before anybody told us of pushes. It can be stopped and goes on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from scanner.errors import ScannerError, UpstreamError
from scanner.model import ScanState
from scanner.ports import ServiceStore
from scanner.service._cursor import Cursor
from scanner.service._tagged import Tagged, record_tags, repositories_of, requests_for, tags_of
from scanner.service._walk import Target, Walk

_REQUESTED_BY: Final = "backfill"
_LOG: Final = logging.getLogger(__name__)


@dataclass
class BackfillCounts:
    """What a backfill has come across so far."""

    repositories_count: int = 0
    tags_count: int = 0
    new_count: int = 0
    """Digests queued now; with a dry run those that would be."""
    known_count: int = 0
    """Digests that were scanned, or queued, before."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Tags and repositories left out, by reason."""
    is_complete: bool = True
    """False: something was left out that another run may get."""


Tell = Callable[[Target, BackfillCounts], None]
"""Called after each chunk of tags."""


async def backfill(
    store: ServiceStore,
    walk: Walk,
    target: Target,
    fingerprint: str,
    *,
    cursor: Cursor | None,
    tell: Tell = lambda _target, _counts: None,
) -> BackfillCounts:
    """Walk the target and queue what is not known; without a ``cursor`` only count (a dry run).

    Cancelled or killed, it goes on where it was with the same cursor.

    Raises:
        UpstreamError: the registry does not list its repositories.
        StoreError: the database or the cursor cannot be written.
    """
    run = _Backfill(store, walk, fingerprint, cursor, tell)
    async for repository in repositories_of(walk, target):
        await run.repository(repository)
    if cursor is not None and run.counts.is_complete:
        cursor.remove()
    return run.counts


class _Backfill:
    def __init__(
        self,
        store: ServiceStore,
        walk: Walk,
        fingerprint: str,
        cursor: Cursor | None,
        tell: Tell,
    ) -> None:
        self._store = store
        self._walk = walk
        self._fingerprint = fingerprint
        self._cursor = cursor
        self._tell = tell
        self._seen: set[str] = set()
        self.counts = BackfillCounts()

    async def repository(self, target: Target) -> None:
        """Queue one repository; one that its registry refuses is counted and left out."""
        name = target.repository
        if self._cursor is not None and self._cursor.has_repository(name):
            self.counts.skipped["repositories done before"] += 1
            return
        self.counts.repositories_count += 1
        all_done = True
        try:
            async for chunk in tags_of(self._walk, target, is_wanted=self._is_new_tag(name)):
                await self._chunk(target, chunk)
                all_done = all_done and not any(one.passes for one in chunk)
        except UpstreamError as error:
            self._leave_out(target, error)
            all_done = all_done and not error.retryable
        if self._cursor is not None and all_done:
            self._cursor.add_repository(name)
        self.counts.is_complete = self.counts.is_complete and all_done

    def _is_new_tag(self, repository: str) -> Callable[[str], bool]:
        cursor = self._cursor
        return lambda tag: cursor is None or not cursor.has_tag(repository, tag)

    async def _chunk(self, target: Target, chunk: list[Tagged]) -> None:
        counts = self.counts
        counts.tags_count += len(chunk)
        counts.skipped.update(one.skipped for one in chunk if one.skipped)
        if self._cursor is None:
            await self._count(chunk)
        else:
            requests = requests_for(chunk, _REQUESTED_BY)
            answers = await self._store.enqueue_many(requests, self._fingerprint)
            await record_tags(self._store, chunk)
            self._cursor.add_tags(target.repository, [o.tag for o in chunk if not o.passes])
            counts.new_count += sum(one.is_new for one in answers)
            counts.known_count += sum(not one.is_new for one in answers)
        self._tell(target, counts)

    async def _count(self, chunk: list[Tagged]) -> None:
        digests = {one.digest for one in chunk if one.digest} - self._seen
        self._seen |= digests
        known = await self._store.images(digests)
        done = sum(
            one.fingerprint == self._fingerprint and one.state is ScanState.COMPLETE
            for one in known.values()
        )
        self.counts.known_count += done
        self.counts.new_count += len(digests) - done

    def _leave_out(self, target: Target, error: ScannerError) -> None:
        self.counts.skipped[f"repository: {error.code}"] += 1
        _LOG.warning("repository left out", extra={"target": str(target), "code": error.code})
