"""What a predicate is: one kind of statement about a scanned digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scanner.model import Digest, ScanReport, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What there is to state about one digest. The same values give the same statements, to the byte."""

    digest: Digest
    report: ScanReport
    """Of that digest alone: all images of an index, or the one image."""
    name: str
    """Registry and repository."""
    scanned_at: datetime
    """When the scan ended."""
    expires_at: datetime
    verdict: Verdict | None = None
    advisories_at: datetime | None = None
    """When the advisories that packages were compared with were fetched, if that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """One kind of statement. A leaf below ``scanner.attest.predicates`` exports ``PREDICATE``, found by walking.

    ``build`` is pure. It returns None where the kind would say something that the scan did not see: an empty list
    of vulnerabilities when none were looked for. Then nothing of the kind is signed, and an older one is taken away.
    """

    name: str
    """What people call it: ``--predicate NAME``, ``--type NAME``."""
    type: str
    """The predicate type, a URI."""
    build: Callable[[Attested], dict[str, Any] | None]
    moment: Callable[[dict[str, Any]], str]
    """Return when a predicate says that it was made (RFC 3339), or an empty text; raises nothing, whatever is in it."""
    summary: str
