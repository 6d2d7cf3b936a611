"""Who judges what is stored, and what admissions ask for: contracts of the web layer."""

from __future__ import annotations

from typing import Protocol

from scanner.model import Verdict
from scanner.ports.admission import Question, Ruling
from scanner.ports.service import ImageSummary


class Judge(Protocol):
    """Judges by the policy that counts now."""

    @property
    def is_current(self) -> bool:
        """Whether the policy is what its file says; a broken file leaves the one before in use."""

    async def of_image(
        self, image: ImageSummary, *, name: str = "", namespace: str = ""
    ) -> Verdict:
        """Return the verdict on what a scan saw.

        ``name`` is ``registry/repository`` as it is asked for, else that by which it was scanned. Raises StoreError if
        the database cannot be asked; a report that is damaged is a denial.
        """

    def of_nothing(self, digest: str, *, name: str = "", namespace: str = "") -> Verdict:
        """Return the verdict on an image that was never scanned."""


class AdmissionDesk(Protocol):
    """Rules on what is to be let in. It never raises."""

    async def rule(self, question: Question, *, seconds: float, requested_by: str) -> Ruling:
        """Return the ruling, within ``seconds``; what is not known is scanned meanwhile."""

    def trouble(self, question: Question, note: str) -> Ruling:
        """Return what is ruled where nothing can be judged; ``note`` is why."""
