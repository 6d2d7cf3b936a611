"""Where reports are kept, and how concurrent scans share the work."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from scanner.model import ImageReport, LayerReport, ScanReport


class ReportStore(Protocol):
    """Layer and image reports by digest and fingerprint. Safe for many threads and processes."""

    def load_layer(self, digest: str, fingerprint: str) -> LayerReport | None:
        """Return the stored report, or None."""

    def save_layer(self, report: LayerReport, fingerprint: str) -> None:
        """Store a layer's report; the first one stored wins."""

    def load_image(
        self, digest: str, fingerprint: str, *, not_before: datetime | None = None
    ) -> ImageReport | None:
        """Return the stored report of a manifest digest, or None if there is none or only an older one."""

    def save_image(self, report: ImageReport, fingerprint: str, reference: str) -> None:
        """Store or replace an image's report."""

    def record_scan(self, report: ScanReport, *, is_whole: bool = True) -> bool:
        """Make what a scan found known by its digests, for queries; False if its images have none to be known by.

        ``is_whole`` is False where some platforms of an index only were asked for.
        """

    def claim_layer(
        self, digest: str, fingerprint: str, *, wait_seconds: float
    ) -> AbstractContextManager[bool]:
        """Claim the right to compute one layer's report (single-flight across threads and processes).

        Yields True with the claim held until the context ends, False if somebody else held it for
        all of ``wait_seconds`` (0: do not wait). A killed holder's claim ends with its process.
        """

    def close(self) -> None:
        """Close the database."""
