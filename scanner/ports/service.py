"""What the service keeps and asks: scans and their queue, what is known by digest, tags, tokens, deliveries.

Records are values; a moment is aware and in UTC. Cursors are texts to hand back as they were given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from scanner.model import Finding, LayerSummary, ScanReport, ScanState, Severity

if TYPE_CHECKING:  # what a scan by hand does not load
    from scanner.ports.admission import AdmissionDecision, DecisionFilter
    from scanner.ports.attestations import PublicationState, StoredAttestations

Item = TypeVar("Item")


class JobState(StrEnum):
    """Where a requested scan is. Comments give the only legal next states."""

    QUEUED = "queued"  # -> SCANNING, CANCELLED
    SCANNING = (
        "scanning"  # -> COMPLETE, PARTIAL, FAILED, CANCELLED; QUEUED again after a failed try
    )
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Nothing more will happen to it."""
        return self not in {JobState.QUEUED, JobState.SCANNING}


class Priority(IntEnum):
    """Who goes first: the lower number."""

    WAITING = 0
    """A person or an admission waits for the answer."""
    PUSHED = 1
    BACKGROUND = 2
    """Backfill and reconcile: nobody waits."""


class ScanRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish that an image be scanned. Its host has been checked against the allow-list."""

    registry: str
    """``host[:port]`` as in ``Reference.registry``."""
    repository: str
    tag: str = ""
    """Beside a digest it says that the tag may have moved there: it gets checked, never believed."""
    digest: str = ""
    """What to scan, if known; tag and digest are never both empty."""
    platforms: tuple[str, ...] = ()
    """``linux/arm64``; none: every runnable one."""
    priority: Priority = Priority.PUSHED
    requested_by: str = ""
    """``webhook/NAME``, ``token/NAME``, ``backfill`` …"""
    force: bool = False
    """Scan although today's analyzers have looked at this digest."""


class Enqueued(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request."""

    id: str
    """Of the scan that answers it."""
    is_new: bool
    """False: one that waits, runs or is complete answers it."""


class ScanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A requested scan as it is now."""

    id: str
    reference: str
    registry: str
    repository: str
    tag: str
    digest: str
    """Empty until the tag is resolved."""
    platforms: tuple[str, ...]
    state: JobState
    priority: int
    requested_by: str
    attempts: int
    stage: str
    progress: dict[str, Any]
    """As the worker told it last. Of a scan that was finished what it took: ``stage_seconds`` as in its report,
    ``read_bytes`` (compressed), and its images' ``layers_count``, ``cached_layers_count`` of them from the store."""
    error_code: str
    error: str
    created_at: datetime
    not_before_at: datetime
    """When the next attempt may begin."""
    started_at: datetime | None
    finished_at: datetime | None
    leased_by: str
    fingerprint: str
    cancel_requested: bool


class ImageSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a digest, short enough to answer an admission in a millisecond."""

    digest: str
    kind: str
    """``image`` or ``index``; an index has its images' worst state and the sums of their counts."""
    platform: str
    config_digest: str
    state: ScanState
    severities: dict[Severity, int]
    """Findings of each severity, zeros included."""
    packages_count: int
    coverage: dict[str, Any]
    """The report's coverage, with counts in place of lists."""
    error: str
    reference: str
    """By which it was scanned last."""
    fingerprint: str
    report_fingerprint: str = ""
    """Under which its report is kept: another one, if the same scan was matched with other advisories."""
    scanned_at: datetime


class PackageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One package of an image."""

    purl: str
    purl_type: str
    namespace: str
    name: str
    version: str
    path: str
    layer_index: int | None
    declared: bool


class PackageUse(msgspec.Struct, frozen=True, kw_only=True):
    """An image that holds a package."""

    digest: str
    purl: str
    version: str
    path: str


class FindingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finding and the image it is of."""

    digest: str
    finding: Finding


class FindingFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings; what is empty does not restrict. ``digest`` or ``rule_id`` must be given."""

    digest: str = ""
    """Of an image, or an index for all its images."""
    rule_id: str = ""
    kinds: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()
    package: str = ""
    """A purl, whole."""
    path_prefix: str = ""


class TagEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a tag led to for a time."""

    digest: str
    seen_at: datetime
    replaced_at: datetime | None
    """None: it still leads there, as far as is known."""


class TagCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that somebody said has moved: its registry is to be asked."""

    registry: str
    repository: str
    tag: str
    attempts: int
    told_id: str
    """Hand back with the answer: what is said meanwhile is checked again."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook call that was authenticated."""

    source: str
    event_id: str
    """The sender's name for it, or a hash of its body."""
    outcome: str
    """``queued``, ``uninteresting``, ``refused`` …"""
    detail: str = ""
    received_at: datetime | None = None
    """Filled when it is stored."""


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A token, but for its secret."""

    id: str
    name: str
    scopes: frozenset[str]
    prefix: str
    """First characters of the token, for people to know it again."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute or so."""


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at one moment."""

    counts: dict[JobState, int]
    """Scans by state, zeros included."""
    age_seconds: float
    """How long the oldest scan that could start has waited; 0 if none does."""


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """Some items, and where the next ones begin."""

    items: tuple[Item, ...]
    next: str = ""
    """Cursor of the next page; empty on the last."""


class ServiceStore(Protocol):
    """What the web layer asks and tells. Every method raises StoreError; a bad cursor InvalidReferenceError.

    Once a method that writes returns, what it wrote survives the machine's power cut.
    """

    async def image(self, digest: str) -> ImageSummary | None:
        """Return what is known of a digest, or None if it was never scanned."""

    async def images(self, digests: Collection[str]) -> dict[str, ImageSummary]:
        """Return what is known of each digest; those never scanned are not in it."""

    async def index_children(self, digest: str) -> tuple[str, ...]:
        """Return the digests of an index's images, in its order; none for an image."""

    async def report(self, digest: str) -> ScanReport | None:
        """Return the full report of a digest; for an index with all its images."""

    async def packages(
        self, digest: str, *, after: str = "", limit: int = 100
    ) -> Page[PackageRecord]:
        """Return an image's packages in the order of its report; of an index, image by image."""

    async def package_versions(self, purl_type: str, namespace: str, name: str) -> list[str]:
        """Return every version of a package that some image holds, sorted as text (for ranges)."""

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

    async def findings(
        self, wanted: FindingFilter, *, after: str = "", limit: int = 100
    ) -> Page[FindingRecord]:
        """Return findings, worst first within an image."""

    async def layers(self, digest: str) -> tuple[LayerSummary, ...]:
        """Return an image's layers, oldest first; none for an index or a digest never scanned."""

    async def tag_history(
        self, registry: str, repository: str, tag: str, *, after: str = "", limit: int = 100
    ) -> Page[TagEntry]:
        """Return what a tag led to, newest first."""

    async def tag_checks(self, limit: int = 100) -> list[TagCheck]:
        """Return tags to be asked of their registry, the longest due first; each is due again in a while."""

    async def record_tag(self, check: TagCheck, digest: str) -> None:
        """Record what a registry said a tag leads to (empty: it is gone); the check is done."""

    async def scan(self, scan_id: str) -> ScanRecord | None:
        """Return a scan by its id."""

    async def scan_of(self, digest: str) -> ScanRecord | None:
        """Return the newest scan of a digest, whatever became of it."""

    async def scans_of(self, digests: Collection[str]) -> dict[str, ScanRecord]:
        """Return the newest scan of each digest; those nobody asked for are not in it."""

    async def scans(
        self, *, state: JobState | None = None, after: str = "", limit: int = 100
    ) -> Page[ScanRecord]:
        """Return scans, newest first."""

    async def finished_scans(self, since: datetime, *, limit: int = 1_000) -> list[ScanRecord]:
        """Return scans that ended at ``since`` or later, the earliest first."""

    async def enqueue(self, request: ScanRequest, fingerprint: str) -> Enqueued:
        """Queue a scan, or return the one that answers already; see :meth:`enqueue_many`."""

    async def enqueue_many(
        self, requests: Sequence[ScanRequest], fingerprint: str
    ) -> list[Enqueued]:
        """Queue all in one transaction; return one answer per request, in their order.

        A request is answered by the scan of the same registry, repository, digest (else tag) and platforms
        that waits or runs; its priority is raised if need be. One with a digest also by a scan that looked
        at everything with ``fingerprint``, unless forced.
        """

    async def cancel(self, scan_id: str) -> bool:
        """Cancel a scan that waits; tell the worker of one that runs. False: it is over, or unknown."""

    async def queue_counts(self) -> QueueCounts:
        """Return the queue as it is now."""

    async def record_deliveries(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Record all in one transaction; False for those whose source delivered the event before."""

    async def deliveries(
        self, *, source: str = "", after: str = "", limit: int = 100
    ) -> Page[Delivery]:
        """Return deliveries, newest first."""

    async def record_decisions(self, decisions: Sequence[AdmissionDecision]) -> list[str]:
        """Record what admissions were told, all in one transaction; return their ids."""

    async def decisions(
        self, wanted: DecisionFilter, *, after: str = "", limit: int = 100
    ) -> Page[AdmissionDecision]:
        """Return decisions, newest first."""

    async def attestations(
        self, digest: str, *, types: Collection[str] = (), with_envelopes: bool = False
    ) -> StoredAttestations:
        """Return what is signed about a digest; of some predicate types, if any are given."""

    async def publications_waiting(self) -> dict[PublicationState, int]:
        """Return how many publications of statements are to be tried yet, by state."""

    async def create_token(
        self, name: str, scopes: Collection[str], *, expires_at: datetime | None = None
    ) -> tuple[str, TokenRecord]:
        """Return a new token's text, which is stored nowhere, and its record."""

    async def load_token(self, token_hash: str) -> TokenRecord | None:
        """Return the token whose text has this SHA-256 (hex), if it is neither revoked nor expired."""

    async def revoke_token(self, token_id: str) -> bool:
        """Revoke a token for good; False if it is unknown or was revoked before."""

    async def tokens(self) -> list[TokenRecord]:
        """Return all tokens, revoked ones included, oldest first."""

    async def ping(self) -> None:
        """Return if the database answers."""

    async def close(self) -> None:
        """Close every connection; safe to call twice."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to do one scan for a while. It fences: what an outdated holder says is ignored."""

    scan: ScanRecord
    worker: str
    attempt: int


class LeaseState(StrEnum):
    """What a heartbeat learns."""

    HELD = "held"
    CANCELLED = "cancelled"  # stop; then tell by ``fail`` or ``finish``, both end it as cancelled
    OVERDUE = "overdue"  # the time limit has passed, the lease is not extended: stop and ``fail``
    LOST = "lost"  # somebody else has it, or it is over: stop, tell nobody


class WorkQueue(Protocol):
    """What workers ask and tell; for threads and processes. Every method raises StoreError."""

    def lease(self, worker: str) -> Lease | None:
        """Take the scan that is to be done next, or None if none may start now.

        Leases that ran out are taken over; one whose every attempt died is failed.
        """

    def wait(self, seconds: float) -> None:
        """Return when there may be something to lease, at the latest after ``seconds``."""

    def heartbeat(self, lease: Lease) -> LeaseState:
        """Extend a lease."""

    def progress(self, lease: Lease, stage: str, progress: Mapping[str, Any]) -> None:
        """Tell how far a scan is; ignored if the lease is lost."""

    def finish(self, lease: Lease, report: ScanReport) -> bool:
        """Store the report and end the scan, both or neither. False: the lease is lost, nothing is stored."""

    def fail(
        self, lease: Lease, code: str, reason: str, *, retryable: bool, after_seconds: float = 0.0
    ) -> JobState | None:
        """End an attempt. Return the scan's state: queued for another attempt, failed, or cancelled.

        ``after_seconds`` is the least wait that the registry asked for. None: the lease is lost.
        """

    def release(self, lease: Lease, code: str, reason: str) -> JobState | None:
        """Give back a scan that was broken off for no fault of its own: due at once, its last attempt or not.

        Return its state: queued, or cancelled. None: the lease is lost.
        """

    def close(self) -> None:
        """Close every connection; leases that are held run out."""
