"""Ask registries where tags lead that somebody said have moved. A push is a claim; this is the answer."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from scanner.errors import InvalidReferenceError, ScannerError, StoreError, UpstreamError
from scanner.ports import Priority, ScanRequest, ServiceStore, TagCheck
from scanner.service._walk import Names, OpenNames

T = TypeVar("T")

_LONGEST_CLOSED_SECONDS: Final = 3_600.0
_REQUESTED_BY: Final = "tag check"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagOptions:
    """How much is asked at once."""

    parallel_count: int = 8
    """Requests at once, to all registries."""
    registry_parallel_count: int = 2
    """Requests at once to one registry."""
    checks_count: int = 100
    """Tags taken at once."""
    poll_seconds: float = 1.0
    """Between two looks for tags to be asked, when there were few."""
    round_seconds: float = 10.0
    """Longest that one registry keeps the tags of others waiting."""
    closed_seconds: float = 10.0
    """A registry that failed is left alone for at least this long."""


async def run_tag_checks(
    store: ServiceStore,
    open_names: OpenNames,
    fingerprint: str,
    *,
    is_allowed: Callable[[str], bool],
    options: TagOptions | None = None,
) -> None:
    """Check tags until cancelled: record what each leads to, and queue it unless it is known.

    Nothing is lost by an error: a tag that was not answered is due again in a while.
    """
    checks = _Checks(store, open_names, fingerprint, is_allowed, options or TagOptions())
    try:
        while True:
            try:
                await checks.round()
            except Exception:  # noqa: BLE001 - a defect must not end the loop
                _LOG.exception("tags not checked")
                await asyncio.sleep(checks.options.closed_seconds)
    finally:
        checks.close()


class _Checks:
    def __init__(
        self,
        store: ServiceStore,
        open_names: OpenNames,
        fingerprint: str,
        is_allowed: Callable[[str], bool],
        options: TagOptions,
    ) -> None:
        self._store = store
        self._open_names = open_names
        self._fingerprint = fingerprint
        self._is_allowed = is_allowed
        self.options = options
        self._threads = ThreadPoolExecutor(options.parallel_count, thread_name_prefix="tags")
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._closed_until: dict[str, float] = {}

    def close(self) -> None:
        """Stop asking; requests under way end by themselves."""
        for task in self._busy.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def round(self) -> None:
        """Take some tags and ask their registries side by side."""
        count = self.options.checks_count
        try:
            taken = await self._store.tag_checks(count)
        except StoreError as error:
            _LOG.warning("no tags to check", extra={"code": error.code})
            taken = []
        self._busy = {name: task for name, task in self._busy.items() if not task.done()}
        for registry, checks in _by_registry(taken).items():
            if registry not in self._busy and self._is_open(registry):
                self._busy[registry] = asyncio.create_task(self._ask_registry(registry, checks))
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=self.options.round_seconds)
        if len(taken) < count:
            await asyncio.sleep(self.options.poll_seconds)

    def _is_open(self, registry: str) -> bool:
        if not self._is_allowed(registry):
            _LOG.warning("a tag of a registry that may not be asked", extra={"registry": registry})
            return False
        return asyncio.get_running_loop().time() >= self._closed_until.get(registry, 0.0)

    async def _ask_registry(self, registry: str, checks: Sequence[TagCheck]) -> None:
        try:
            names = await self._in_thread(lambda: self._open_names(registry))
            try:
                gate = asyncio.Semaphore(self.options.registry_parallel_count)
                answers = await asyncio.gather(*(self._ask(names, one, gate) for one in checks))
            finally:
                names.close()
            await self._record([one for one in answers if one is not None])
        except ScannerError as error:
            self._leave_alone(registry, error)
        except Exception:  # noqa: BLE001 - a defect must not end the loop for all registries
            _LOG.exception("tags not checked", extra={"registry": registry})

    async def _ask(
        self, names: Names, check: TagCheck, gate: asyncio.Semaphore
    ) -> tuple[TagCheck, str] | None:
        """Return what the registry says; None if it was not asked or did not answer."""
        async with gate:
            if not self._is_open(check.registry):
                return None
            try:
                digest = await self._in_thread(
                    lambda: names.digest_of_tag(check.repository, check.tag)
                )
            except InvalidReferenceError:  # a name that no registry has
                return check, ""
            except ScannerError as error:
                if error.retryable:
                    self._leave_alone(check.registry, error)
                else:
                    _tell(check.registry, error)
                return None
            return check, digest or ""

    async def _record(self, answers: Sequence[tuple[TagCheck, str]]) -> None:
        """Queue first, then record: a check that is done has its digest in the queue."""
        requests = {
            (check.repository, digest): ScanRequest(
                registry=check.registry,
                repository=check.repository,
                digest=digest,
                priority=Priority.PUSHED,
                requested_by=_REQUESTED_BY,
            )
            for check, digest in answers
            if digest
        }
        if requests:
            await self._store.enqueue_many(list(requests.values()), self._fingerprint)
        for check, digest in answers:
            await self._store.record_tag(check, digest)

    def _leave_alone(self, registry: str, error: ScannerError) -> None:
        asked = error.after_seconds if isinstance(error, UpstreamError) else 0.0
        seconds = min(max(asked, self.options.closed_seconds), _LONGEST_CLOSED_SECONDS)
        self._closed_until[registry] = asyncio.get_running_loop().time() + seconds
        _tell(registry, error)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _tell(registry: str, error: ScannerError) -> None:
    _LOG.warning("tag not checked", extra={"registry": registry, "code": error.code})


def _by_registry(checks: Sequence[TagCheck]) -> dict[str, list[TagCheck]]:
    found: defaultdict[str, list[TagCheck]] = defaultdict(list)
    for check in checks:
        found[check.registry].append(check)
    return found
