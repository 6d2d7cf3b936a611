"""What the service signs and publishes: what is to be done, and what is there, by digest.

Moments are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from scanner.model import ScanReport


class PublicationState(StrEnum):
    """Where the statements about an image are, in one repository."""

    PENDING = "pending"  # not tried yet
    PUBLISHED = "published"
    FAILED = "failed"  # tried again soon
    REFUSED = (
        "refused"  # the registry does not let us, or must not be asked; tried again now and then
    )
    MISSING = (
        "missing"  # the image is not there any more; not tried again until it is scanned there
    )


class StoredStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One signed statement."""

    digest: str
    predicate_type: str
    key_id: str
    made_at: datetime
    """When the scan ended that it tells of."""
    expires_at: datetime
    signed_at: datetime
    envelope: bytes = b""
    """DSSE as JSON; empty where it was not asked for."""


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """The statements about an image in one repository."""

    registry: str
    repository: str
    state: PublicationState
    attempts: int
    """Tries since there was something new to publish."""
    published_at: datetime | None = None
    """When it last went well."""
    next_at: datetime | None = None
    """When it is tried next."""
    error_code: str = ""
    error: str = ""


class StoredAttestations(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is signed about one digest."""

    statements: tuple[StoredStatement, ...]
    """In the order of type and key."""
    publications: tuple[Publication, ...]
    signed_at: datetime | None
    """When it was last settled what is to be stated; None: not yet."""
    error_code: str = ""
    error: str = ""
    """Why nothing could be signed of the last scan; empty if it was, or is not yet."""


class SigningTask(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose statements are to be looked at: after a scan, or when a verdict may have changed."""

    image_key: int
    digest: str
    scanned_at: datetime
    report_fingerprint: str
    """Of what its report was made with, advisories included; empty for an index."""
    asked_id: str
    """Hand back with the answer: what is scanned meanwhile is looked at again."""
    attempts: int
    basis: str
    """What was signed last follows from what has this hash; empty: nothing was."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be stored of a task."""

    key_id: str
    setup: str
    """Hash of key, policy, predicates and validity; of 64 hex digits."""
    basis: str
    """Hash of all that the statements follow from."""
    statements: tuple[StoredStatement, ...] | None
    """All that this key states of the digest; None: what is stored still holds."""
    look_again_at: datetime | None
    renew_at: datetime | None
    """When the image is to be scanned again, lest its statements expire."""


class PublishingTask(msgspec.Struct, frozen=True, kw_only=True):
    """Statements that are to be published in one repository."""

    image_key: int
    digest: str
    registry: str
    repository: str
    asked_id: str
    attempts: int


class RenewalTask(msgspec.Struct, frozen=True, kw_only=True):
    """A tagged image whose statements will expire."""

    digest: str
    registry: str
    repository: str


class AttestationStore(Protocol):
    """What signs and publishes asks and tells; every method raises StoreError.

    Tasks that are taken come again after a while, later each time, unless their end is told.
    """

    async def report(self, digest: str) -> ScanReport | None:
        """Return the full report of a digest; for an index with all its images."""

    async def attestations(
        self, digest: str, *, types: Collection[str] = (), with_envelopes: bool = False
    ) -> StoredAttestations:
        """Return what is signed about a digest; of some predicate types, if any are given."""

    async def signing_tasks(self, limit: int = 10) -> list[SigningTask]:
        """Take images whose statements are to be looked at, the longest due first."""

    async def ask_outdated(
        self, setup: str, before: datetime, *, after_key: int, limit: int = 500
    ) -> int | None:
        """Have images signed anew that were signed before ``before`` with another setup.

        Walks by key: hand in what the call before returned, 0 first. None: that was all.
        """

    async def record_signed(self, task: SigningTask, signed: Signed, *, is_published: bool) -> bool:
        """Store what was signed in place of what the same key had signed, and ask for its publication, all or nothing.

        False: the image was scanned again meanwhile, or is gone; nothing was stored.
        """

    async def record_unsigned(self, task: SigningTask, code: str, reason: str) -> None:
        """Note why nothing could be signed."""

    async def publishing_tasks(self, limit: int = 20) -> list[PublishingTask]:
        """Take what is to be published, the longest due first."""

    async def record_published(
        self,
        task: PublishingTask,
        state: PublicationState,
        *,
        next_at: datetime | None = None,
        code: str = "",
        reason: str = "",
    ) -> None:
        """Note what became of it; nothing if there is something newer to publish."""

    async def publications_waiting(self) -> dict[PublicationState, int]:
        """Return how many are to be tried yet, by state; those that have none are not in it."""

    async def renewal_tasks(self, again_at: datetime, limit: int = 50) -> Sequence[RenewalTask]:
        """Take images whose statements will expire; those not scanned until ``again_at`` come again then.

        Those to which no tag leads are looked at again then, too, and not returned.
        """
