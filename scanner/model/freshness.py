"""How old what a report says of vulnerabilities is."""

from __future__ import annotations

from datetime import datetime

from scanner.model.report import ScanReport, ScanState
from scanner.model.vulnerability import parse_moment


def advisories_checked_at(report: ScanReport) -> datetime | None:
    """Return when the publishers of the advisories that a report was made with were asked, the longest ago of them.

    None where some image's packages were not compared with any, or where that is not known. Images that could not be
    scanned do not count.
    """
    moments: list[datetime] = []
    for image in report.images:
        if image.state is ScanState.FAILED:
            continue
        known = image.advisories.checked_at.values() if image.advisories else ()
        asked = [parse_moment(text) for text in known]
        whole = [moment for moment in asked if moment is not None]
        if not whole or len(whole) < len(asked):
            return None
        moments += whole
    return min(moments, default=None)
