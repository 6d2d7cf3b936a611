"""What the service keeps and asks, from asyncio: ``scanner.ports.ServiceStore`` on both databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from scanner.errors import StoreError
from scanner.model import LayerSummary, ScanReport
from scanner.ports.admission import AdmissionDecision, DecisionFilter
from scanner.ports.attestations import (
    PublicationState,
    PublishingTask,
    RenewalTask,
    Signed,
    SigningTask,
    StoredAttestations,
)
from scanner.ports.service import (
    Delivery,
    Enqueued,
    FindingFilter,
    FindingRecord,
    ImageSummary,
    JobState,
    PackageRecord,
    PackageUse,
    Page,
    QueueCounts,
    ScanRecord,
    ScanRequest,
    TagCheck,
    TagEntry,
    TokenRecord,
)
from scanner.store import (
    _access,
    _answers,
    _attestations,
    _contents,
    _decisions,
    _enqueue,
    _publications,
    _scans,
    _tags,
)
from scanner.store._async import Database, open_async
from scanner.store._errors import store_error
from scanner.store._moments import now_ms, to_ms
from scanner.store._tables import VERSIONS

_COUNT_SHARE: Final = 0.01
"""At most this part of the time goes into counting scans that are over, however many there are."""


class SqlServiceStore:
    """A ``scanner.ports.ServiceStore``; what its methods do is said there."""

    def __init__(self, database: Database) -> None:
        """Use :func:`open_service_store`."""
        self._database = database
        self._background: set[asyncio.Task[None]] = set()
        self._over_counts: dict[JobState, int] = {}
        self._count_again_at = 0.0

    async def image(self, digest: str) -> ImageSummary | None:
        """Return what is known of a digest, or None if it was never scanned."""
        return await self._database.read(_answers.image, digest)

    async def images(self, digests: Collection[str]) -> dict[str, ImageSummary]:
        """Return what is known of each digest."""
        return await self._database.read(_answers.images, digests)

    async def index_children(self, digest: str) -> tuple[str, ...]:
        """Return the digests of an index's images, in its order; none for an image."""
        return await self._database.read(_answers.index_children, digest)

    async def report(self, digest: str) -> ScanReport | None:
        """Return the full report of a digest; one of which a part is damaged is an error, never a shorter one."""
        packed = await self._database.read(_answers.packed_report, digest)
        if packed is None:
            return None
        report = await asyncio.to_thread(_answers.unpack_report, packed)
        if report is None:
            reason = f"a part of the report of {digest[:160]} is damaged or missing"
            raise store_error(self._database.where, reason, "have the image scanned again, forced")
        return report

    async def packages(
        self, digest: str, *, after: str = "", limit: int = 100
    ) -> Page[PackageRecord]:
        """Return an image's packages in the order of its report; of an index, image by image."""
        return await self._database.read(_contents.packages, digest, after=after, limit=limit)

    async def package_versions(self, purl_type: str, namespace: str, name: str) -> list[str]:
        """Return every version of a package that some image holds, sorted as text."""
        return await self._database.read(_contents.package_versions, purl_type, namespace, name)

    async def images_with_package(
        self,
        purl_type: str,
        namespace: str,
        name: str,
        *,
        versions: Collection[str] | None = None,
        after: str = "",
        limit: int = 100,
    ) -> Page[PackageUse]:
        """Return the images that hold a package, of any version or of those given."""
        return await self._database.read(
            _contents.images_with_package,
            purl_type,
            namespace,
            name,
            versions=versions,
            after=after,
            limit=limit,
        )

    async def findings(
        self, wanted: FindingFilter, *, after: str = "", limit: int = 100
    ) -> Page[FindingRecord]:
        """Return findings, worst first within an image."""
        return await self._database.read(_contents.findings, wanted, after=after, limit=limit)

    async def layers(self, digest: str) -> tuple[LayerSummary, ...]:
        """Return an image's layers, oldest first; none for an index or a digest never scanned."""
        known = await self.image(digest)
        if known is None or known.kind == _answers.INDEX:
            return ()
        report = await self.report(digest)
        return report.images[0].layers if report is not None else ()

    async def tag_history(
        self, registry: str, repository: str, tag: str, *, after: str = "", limit: int = 100
    ) -> Page[TagEntry]:
        """Return what a tag led to, newest first."""
        return await self._database.read(
            _tags.tag_history, registry, repository, tag, after=after, limit=limit
        )

    async def tag_checks(self, limit: int = 100) -> list[TagCheck]:
        """Return tags to be asked of their registry, the longest due first."""
        return await self._database.write(_tags.tag_checks, limit)

    async def record_tag(self, check: TagCheck, digest: str) -> None:
        """Record what a registry said a tag leads to (empty: it is gone); the check is done."""
        await self._database.write(_tags.record_check, check, digest)

    async def scan(self, scan_id: str) -> ScanRecord | None:
        """Return a scan by its id."""
        return await self._database.read(_scans.scan, scan_id)

    async def scan_of(self, digest: str) -> ScanRecord | None:
        """Return the newest scan of a digest, whatever became of it."""
        return await self._database.read(_scans.scan_of, digest)

    async def scans_of(self, digests: Collection[str]) -> dict[str, ScanRecord]:
        """Return the newest scan of each digest."""
        return await self._database.read(_scans.scans_of, digests)

    async def scans(
        self, *, state: JobState | None = None, after: str = "", limit: int = 100
    ) -> Page[ScanRecord]:
        """Return scans, newest first."""
        return await self._database.read(_scans.scans, state=state, after=after, limit=limit)

    async def finished_scans(self, since: datetime, *, limit: int = 1_000) -> list[ScanRecord]:
        """Return scans that ended at ``since`` or later, the earliest first."""
        return await self._database.read(_scans.finished_scans, since, limit=limit)

    async def enqueue(self, request: ScanRequest, fingerprint: str) -> Enqueued:
        """Queue a scan, or return the one that answers already."""
        return (await self.enqueue_many([request], fingerprint))[0]

    async def enqueue_many(
        self, requests: Sequence[ScanRequest], fingerprint: str
    ) -> list[Enqueued]:
        """Queue all in one transaction; return one answer per request, in their order."""
        return await self._database.write(_enqueue.enqueue_many, requests, fingerprint)

    async def cancel(self, scan_id: str) -> bool:
        """Cancel a scan that waits; tell the worker of one that runs."""
        return await self._database.write(_scans.cancel, scan_id)

    async def queue_counts(self) -> QueueCounts:
        """Return the queue as it is now.

        Scans that are over are counted so often that it costs a hundredth of the time: with few of them at
        every call, with a million every few seconds.
        """
        active, age_seconds = await self._database.read(_scans.active_counts)
        began = time.monotonic()
        if began >= self._count_again_at:
            self._over_counts = await self._database.read(_scans.over_counts)
            ended = time.monotonic()
            self._count_again_at = ended + (ended - began) / _COUNT_SHARE
        return QueueCounts(counts={**active, **self._over_counts}, age_seconds=age_seconds)

    async def record_deliveries(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Record all in one transaction; False for those whose source delivered the event before."""
        return await self._database.write(_access.record_deliveries, deliveries)

    async def deliveries(
        self, *, source: str = "", after: str = "", limit: int = 100
    ) -> Page[Delivery]:
        """Return deliveries, newest first."""
        return await self._database.read(
            _access.deliveries, source=source, after=after, limit=limit
        )

    async def record_decisions(self, decisions: Sequence[AdmissionDecision]) -> list[str]:
        """Record all in one transaction; return their ids."""
        return await self._database.write(_decisions.record_decisions, decisions)

    async def decisions(
        self, wanted: DecisionFilter, *, after: str = "", limit: int = 100
    ) -> Page[AdmissionDecision]:
        """Return decisions, newest first."""
        return await self._database.read(_decisions.decisions, wanted, after=after, limit=limit)

    async def attestations(
        self, digest: str, *, types: Collection[str] = (), with_envelopes: bool = False
    ) -> StoredAttestations:
        """Return what is signed about a digest; of some predicate types, if any are given."""
        found = await self._database.read(
            _attestations.attestations, digest, types=types, with_envelopes=with_envelopes
        )
        if not with_envelopes:
            return found
        whole = await asyncio.to_thread(_attestations.unpacked, found)
        if whole is None:
            reason = f"a statement about {digest[:160]} is damaged"
            raise store_error(self._database.where, reason, "have the image scanned again, forced")
        return whole

    async def signing_tasks(self, limit: int = 10) -> list[SigningTask]:
        """Take images whose statements are to be looked at, the longest due first."""
        if not await self._database.read(_attestations.is_signing_due):
            return []  # without waiting for those who write
        return await self._database.write(_attestations.signing_tasks, limit)

    async def ask_outdated(
        self, setup: str, before: datetime, *, after_key: int, limit: int = 500
    ) -> int | None:
        """Have images signed anew that were signed before ``before`` with another setup."""
        keys = await self._database.read(
            _attestations.outdated, setup, before, after_key=after_key, limit=limit
        )
        if not keys:
            return None
        await self._database.write(_attestations.ask, keys)
        return keys[-1]

    async def record_signed(self, task: SigningTask, signed: Signed, *, is_published: bool) -> bool:
        """Store what was signed, and ask for its publication; False: the task is outdated."""
        return await self._database.write(
            _attestations.record_signed, task, signed, is_published=is_published
        )

    async def record_unsigned(self, task: SigningTask, code: str, reason: str) -> None:
        """Note why nothing could be signed."""
        await self._database.write(_attestations.record_unsigned, task, code, reason)

    async def publishing_tasks(self, limit: int = 20) -> list[PublishingTask]:
        """Take what is to be published, the longest due first."""
        if not await self._database.read(_publications.is_publishing_due):
            return []
        return await self._database.write(_publications.publishing_tasks, limit)

    async def record_published(
        self,
        task: PublishingTask,
        state: PublicationState,
        *,
        next_at: datetime | None = None,
        code: str = "",
        reason: str = "",
    ) -> None:
        """Note what became of a publication; nothing if there is something newer to publish."""
        await self._database.write(
            _publications.record_published, task, state, next_at=next_at, code=code, reason=reason
        )

    async def publications_waiting(self) -> dict[PublicationState, int]:
        """Return how many publications are to be tried yet, by state."""
        return await self._database.read(_publications.publications_waiting)

    async def renewal_tasks(self, again_at: datetime, limit: int = 50) -> Sequence[RenewalTask]:
        """Take tagged images whose statements will expire."""
        if not await self._database.read(_publications.is_renewal_due):
            return []
        return await self._database.write(_publications.renewal_tasks, again_at, limit)

    async def create_token(
        self, name: str, scopes: Collection[str], *, expires_at: datetime | None = None
    ) -> tuple[str, TokenRecord]:
        """Return a new token's text, which is stored nowhere, and its record."""
        return await self._database.write(_access.create_token, name, scopes, expires_at=expires_at)

    async def load_token(self, token_hash: str) -> TokenRecord | None:
        """Return the token whose text has this SHA-256 (hex), if it is neither revoked nor expired."""
        token = await self._database.read(_access.load_token, token_hash)
        if token is not None and _used_long_ago(token):
            task = asyncio.create_task(self._mark_used(token.id))  # who asks need not wait for it
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        return token

    async def _mark_used(self, token_id: str) -> None:
        with suppress(StoreError):  # a token is good even if nobody can note its use
            await self._database.write(_access.mark_used, token_id)

    async def revoke_token(self, token_id: str) -> bool:
        """Revoke a token for good; False if it is unknown or was revoked before."""
        return await self._database.write(_access.revoke_token, token_id)

    async def tokens(self) -> list[TokenRecord]:
        """Return all tokens, revoked ones included, oldest first."""
        return await self._database.read(_access.tokens)

    async def ping(self) -> None:
        """Return if the database answers."""
        await self._database.read(_ping)

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        if self._background:
            await asyncio.wait(self._background)
        await self._database.close()


def _used_long_ago(token: TokenRecord) -> bool:
    used_at = token.last_used_at
    return used_at is None or now_ms() - to_ms(used_at) >= _access.USED_EVERY_MS


def _ping(connection: Connection) -> None:
    connection.execute(select(VERSIONS.c.version_num)).scalar()


async def open_service_store(where: str | Path) -> SqlServiceStore:
    """Open the store in a directory (or file, or ``sqlite:///file``) or at a ``postgresql://`` URL.

    Its tables are made or brought up to date if need be. Many processes may open one store at once.

    Raises:
        StoreError: it cannot be opened or made, is damaged, or a newer scanner made it; ``hint`` says more.
    """
    return SqlServiceStore(await open_async(where))
