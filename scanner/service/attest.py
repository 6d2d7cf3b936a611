"""Sign what was scanned, beside the answers: each digest, with the verdict of the policy that counts.

What is to be signed is in the database, written in the transaction of its scan: a loop that is killed goes on where
it was. The key is in this process alone, never in one that reads images.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from scanner.errors import ScannerError, StoreError
from scanner.ports import Priority, ScanRequest, ServiceStore
from scanner.ports.attestations import AttestationStore, SigningTask
from scanner.service._signing import Setup, sign

POLL_SECONDS: Final = 1.0
_RENEWAL_SECONDS: Final = 10.0
_DEFECT_SECONDS: Final = 10.0
_TASKS_COUNT: Final = 8
_REQUESTED_BY: Final = "attest"
_LOG: Final = logging.getLogger(__name__)

Tell = Callable[[str], None]
"""Called with what became of one image: ``signed``, ``unchanged``, ``nothing`` (to state), ``outdated``, ``failed``."""


async def run_signing(
    store: AttestationStore, current: Callable[[], Setup], *, is_published: bool, tell: Tell
) -> None:
    """Sign until cancelled. ``current`` is asked again and again: with another setup everything is signed anew."""
    # One thread, of its own: the loop waits for those of the default one when it ends.
    thread = ThreadPoolExecutor(1, thread_name_prefix="sign")
    loop = _Signing(store, current, thread, is_published=is_published, tell=tell)
    try:
        while True:
            try:
                done_count = await loop.round()
            except StoreError as error:
                _LOG.warning("nothing signed", extra={"code": error.code})
                done_count = 0
            except Exception:  # noqa: BLE001 - a defect must not end the loop
                _LOG.exception("signing broke off")
                await asyncio.sleep(_DEFECT_SECONDS)
                continue
            if not done_count:
                await asyncio.sleep(POLL_SECONDS)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


class _Signing:
    def __init__(
        self,
        store: AttestationStore,
        current: Callable[[], Setup],
        thread: ThreadPoolExecutor,
        *,
        is_published: bool,
        tell: Tell,
    ) -> None:
        self._store = store
        self._current = current
        self._thread = thread
        self._is_published = is_published
        self._tell = tell
        self._setup = ""
        """The last one for which the images of other setups were found."""

    async def round(self) -> int:
        """Sign some images; return how many there were."""
        setup = self._current()
        if setup.digest != self._setup:
            await self._ask_outdated(setup.digest)
            self._setup = setup.digest
        tasks = await self._store.signing_tasks(_TASKS_COUNT)
        for task in tasks:
            await self._do(setup, task)
        return len(tasks)

    async def _ask_outdated(self, setup: str) -> None:
        """Have what was signed with another setup signed anew; not what others sign after us with theirs."""
        before, key = datetime.now(UTC), 0
        while (last := await self._store.ask_outdated(setup, before, after_key=key)) is not None:
            key = last

    async def _do(self, setup: Setup, task: SigningTask) -> None:
        extra = {"digest": task.digest, "attempt": task.attempts + 1}
        try:
            outcome = await self._sign(setup, task)
        except ScannerError as error:
            outcome = "failed"
            _LOG.warning("not signed", extra={**extra, "code": error.code})
            await self._store.record_unsigned(task, error.code, str(error))
        except Exception:  # noqa: BLE001 - a defect with one image must not keep the others
            outcome = "failed"
            _LOG.exception("not signed", extra=extra)
            await self._store.record_unsigned(task, "internal-error", "a defect; the log has it")
        self._tell(outcome)

    async def _sign(self, setup: Setup, task: SigningTask) -> str:
        report = await self._store.report(task.digest)
        if report is None:
            return "outdated"
        loop, now = asyncio.get_running_loop(), datetime.now(UTC)
        signed = await loop.run_in_executor(self._thread, sign, setup, report, task, now)
        is_stored = await self._store.record_signed(task, signed, is_published=self._is_published)
        if not is_stored:
            return "outdated"
        if signed.statements is None:
            return "unchanged"
        if not signed.statements:
            return "nothing"
        _LOG.info("signed", extra={"digest": task.digest, "count": len(signed.statements)})
        return "signed"


async def run_renewal(
    store: AttestationStore,
    queue: ServiceStore,
    fingerprint: str,
    *,
    is_allowed: Callable[[str], bool],
    again: timedelta,
) -> None:
    """Have tagged images scanned again before what is stated of them expires, until cancelled.

    One that was not scanned after ``again`` is asked for once more.
    """
    while True:
        try:
            count = await renew(store, queue, fingerprint, is_allowed=is_allowed, again=again)
        except ScannerError as error:
            _LOG.warning("nothing renewed", extra={"code": error.code})
            count = 0
        except Exception:  # noqa: BLE001 - a defect must not end the loop
            _LOG.exception("renewal broke off")
            count = 0
        if not count:
            await asyncio.sleep(_RENEWAL_SECONDS)


async def renew(
    store: AttestationStore,
    queue: ServiceStore,
    fingerprint: str,
    *,
    is_allowed: Callable[[str], bool],
    again: timedelta,
) -> int:
    """Queue scans of some images whose statements will expire; return how many. Raises StoreError."""
    tasks = await store.renewal_tasks(datetime.now(UTC) + again)
    requests = [
        ScanRequest(
            registry=task.registry,
            repository=task.repository,
            digest=task.digest,
            priority=Priority.BACKGROUND,
            requested_by=_REQUESTED_BY,
            force=True,
        )
        for task in tasks
        if is_allowed(task.registry)
    ]
    if requests:
        await queue.enqueue_many(requests, fingerprint)
    return len(requests)
