"""Add what is known of an image's packages today: the last step of a scan, never part of what is stored to answer another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from scanner.advisories.matched_report import matched_report
from scanner.advisories.matcher import MatchCoverage, match
from scanner.model import AdvisoryState, ImageReport, ScanState
from scanner.ports import AdvisoryLookup


@dataclass(frozen=True, slots=True)
class Advisories:
    """The advisories there are at one moment."""

    lookup: AdvisoryLookup
    state: AdvisoryState


@dataclass(frozen=True, slots=True)
class Matching:
    """How a scan comes by advisories, and whom it tells what it missed."""

    open: Callable[[], AbstractContextManager[Advisories]]
    """Open what there is now; raises StoreError."""
    tell_missing: Callable[[Iterable[str]], None]
    """Called with the ecosystems that packages were found of, and no data."""


def match_images(images: Sequence[ImageReport], matching: Matching) -> tuple[ImageReport, ...]:
    """Return the images with their vulnerabilities.

    Without data of a single ecosystem they stay as they are: their coverage says that vulnerabilities were not looked
    for. With some, what is missing makes an image partial.

    Raises:
        StoreError: a database is broken.
    """
    today = datetime.now(UTC).date()
    with matching.open() as advisories:
        if not advisories.lookup.ecosystems():
            for image in images:
                matched = match(image.packages, image.distribution, advisories.lookup)
                matching.tell_missing(_missing(matched.coverage))
            return tuple(images)
        found: list[ImageReport] = []
        for image in images:
            report, coverage = matched_report(image, advisories.lookup, today)
            matching.tell_missing(_missing(coverage))
            is_matched = report.state is not ScanState.FAILED
            found.append(
                msgspec.structs.replace(report, advisories=advisories.state)
                if is_matched
                else report
            )
    return tuple(found)


def _missing(coverage: MatchCoverage) -> list[str]:
    return [one.ecosystem for one in coverage.ecosystems if not one.has_data]
