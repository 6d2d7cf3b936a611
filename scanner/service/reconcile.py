"""Find what no event told: walk registries now and then, and queue what is there and not known.

Events get lost: while the service is down, by a sender that gives up, by a registry that sends none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from scanner.errors import ScannerError, UpstreamError
from scanner.ports import ServiceStore
from scanner.service._tagged import Tagged, record_tags, repositories_of, requests_for, tags_of
from scanner.service._walk import OpenNames, Target, Walk, walking

_REQUESTED_BY: Final = "reconcile"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOptions:
    """How often, and how fast."""

    every_seconds: float = 3_600.0
    """Between the end of one round and the begin of the next."""
    per_second: float = 5.0
    """Requests to one registry."""
    first_wait_seconds: float = 1.0
    """Before a request that failed is sent again; longer each time."""


async def run_reconcile(
    store: ServiceStore,
    open_names: OpenNames,
    targets: Sequence[Target],
    fingerprint: str,
    *,
    is_allowed: Callable[[str], bool],
    options: ReconcileOptions | None = None,
) -> None:
    """Walk the targets one after another, again and again, until cancelled."""
    chosen = options or ReconcileOptions()
    while targets:
        for target in targets:
            if is_allowed(target.registry):
                await _reconcile(store, open_names, target, fingerprint, chosen)
            else:
                _LOG.warning("not reconciled: not allowed", extra={"target": str(target)})
        await asyncio.sleep(chosen.every_seconds)


async def _reconcile(
    store: ServiceStore,
    open_names: OpenNames,
    target: Target,
    fingerprint: str,
    options: ReconcileOptions,
) -> None:
    try:
        async with walking(
            open_names,
            target.registry,
            per_second=options.per_second,
            first_wait_seconds=options.first_wait_seconds,
        ) as walk:
            counts = await reconcile(store, walk, target, fingerprint)
    except ScannerError as error:
        _LOG.warning("not reconciled", extra={"target": str(target), "code": error.code})
    except Exception:  # noqa: BLE001 - a defect with one registry must not leave the others alone
        _LOG.exception("not reconciled", extra={"target": str(target)})
    else:
        _LOG.info("reconciled", extra={"target": str(target), **counts})


async def reconcile(
    store: ServiceStore, walk: Walk, target: Target, fingerprint: str
) -> dict[str, int]:
    """Walk one target once; return how many tags were seen, had moved, were not answered for.

    Raises:
        UpstreamError: the registry does not list its repositories.
        StoreError: the database does not answer.
    """
    counts = {"tags_count": 0, "moved_count": 0, "queued_count": 0, "unanswered_count": 0}
    async for repository in repositories_of(walk, target):
        try:
            async for chunk in tags_of(walk, repository):
                moved = [one for one in chunk if one.digest and await _has_moved(store, one)]
                wanted = [*moved, *await _never_seen(store, chunk)]
                queued = await store.enqueue_many(requests_for(wanted, _REQUESTED_BY), fingerprint)
                await record_tags(store, moved)
                counts["tags_count"] += len(chunk)
                counts["moved_count"] += len(moved)
                counts["queued_count"] += sum(one.is_new for one in queued)
                counts["unanswered_count"] += sum(one.passes for one in chunk)
        except UpstreamError as error:
            _LOG.warning("not reconciled", extra={"target": str(repository), "code": error.code})
    return counts


async def _has_moved(store: ServiceStore, one: Tagged) -> bool:
    target = one.target
    page = await store.tag_history(target.registry, target.repository, one.tag, limit=1)
    known = page.items[0] if page.items else None
    return known is None or known.replaced_at is not None or known.digest != one.digest


async def _never_seen(store: ServiceStore, chunk: Sequence[Tagged]) -> list[Tagged]:
    """Return those whose digest was neither scanned nor tried: a failure is not tried again every round."""
    known = await store.images({one.digest for one in chunk if one.digest})
    unknown = [one for one in chunk if one.digest and one.digest not in known]
    return [one for one in unknown if await store.scan_of(one.digest) is None]
