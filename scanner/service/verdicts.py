"""Verdicts of what is stored, by the current policy: computed once, kept as long as they hold."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from scanner.errors import StoreError
from scanner.model import Decision, Reason, ReasonCode, Verdict
from scanner.policy.compiled import Policy
from scanner.policy.evaluate import evaluate, moment_text
from scanner.policy.lasting import lasts_until
from scanner.policy.subject import Subject, subject_of
from scanner.ports import ImageSummary, ServiceStore
from scanner.service.current_policy import CurrentPolicy

_KEPT_REASONS: Final = 200_000
"""Reasons kept in all; one takes about half a kilobyte."""
_AT_ONCE: Final = 4
"""Reports taken apart at once: a large one takes some ten megabytes."""


class _Key(NamedTuple):
    digest: str
    scanned_at: datetime
    report_fingerprint: str
    policy_digest: str
    name: str
    namespace: str


class _Kept(NamedTuple):
    verdict: Verdict
    until: datetime
    weight: int


def _now() -> datetime:
    return datetime.now(UTC)


class Verdicts:
    """Judges by digest."""

    def __init__(
        self,
        store: ServiceStore,
        current: CurrentPolicy,
        *,
        clock: Callable[[], datetime] = _now,
        kept_reasons: int = _KEPT_REASONS,
    ) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._most = kept_reasons
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._weight = 0
        self._running: dict[_Key, asyncio.Task[Verdict]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    @property
    def is_current(self) -> bool:
        """Whether the policy is what its file says."""
        return not self._current.error

    async def of_image(
        self, image: ImageSummary, *, name: str = "", namespace: str = ""
    ) -> Verdict:
        """Return the verdict on what a scan saw.

        ``name`` is ``registry/repository`` as it is asked for, else that by which it was scanned.

        Raises:
            StoreError: the database cannot be asked. A report that is damaged is a denial.
        """
        policy, now = self._current.policy, self._clock()
        key = _Key(
            image.digest,
            image.scanned_at,
            image.report_fingerprint,
            policy.document.digest,
            name,
            namespace,
        )
        kept = self._kept.get(key)
        if kept is not None and kept.until > now:
            self._kept.move_to_end(key)
            return kept.verdict
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._judge(key, image, policy, now))
            self._running[key] = task
            task.add_done_callback(lambda _done: self._running.pop(key, None))
        return await asyncio.shield(task)

    def of_nothing(self, digest: str, *, name: str = "", namespace: str = "") -> Verdict:
        """Return the verdict on an image that was never scanned."""
        subject = Subject(digest=digest, name=name, namespace=namespace)
        return evaluate(self._current.policy, subject, self._clock())

    async def _judge(
        self, key: _Key, image: ImageSummary, policy: Policy, now: datetime
    ) -> Verdict:
        async with self._gate:
            try:
                report = await self._store.report(key.digest)
            except StoreError:
                await self._store.ping()  # the database is there, so it is the report
                return _damaged(key, policy, now)
            if report is None:
                return _damaged(key, policy, now)
            subject = subject_of(report, namespace=key.namespace, scanned_at=image.scanned_at)
            if key.name:
                subject = msgspec.structs.replace(subject, name=key.name)
            verdict = await asyncio.to_thread(evaluate, policy, subject, now)
        self._keep(key, _Kept(verdict, lasts_until(policy, subject, now), _weight_of(verdict)))
        return verdict

    def _keep(self, key: _Key, kept: _Kept) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self._weight -= old.weight
        self._kept[key] = kept
        self._weight += kept.weight
        while self._weight > self._most and self._kept:
            _, oldest = self._kept.popitem(last=False)
            self._weight -= oldest.weight


def _weight_of(verdict: Verdict) -> int:
    return 1 + len(verdict.reasons) + len(verdict.waived)


def _damaged(key: _Key, policy: Policy, now: datetime) -> Verdict:
    reason = Reason(
        code=ReasonCode.SCAN_FAILED,
        decision=Decision.DENY,
        message="the stored report cannot be read: have the image scanned again",
        rule="scanned",
    )
    return Verdict(
        decision=Decision.DENY,
        digest=key.digest,
        policy=policy.document.name,
        policy_digest=policy.document.digest,
        evaluated_at=moment_text(now),
        reasons=(reason,),
    )
