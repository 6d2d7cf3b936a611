"""Whether a report says anything on known vulnerabilities: an empty list must not stand for not having looked."""

from __future__ import annotations

from scanner.model import Kind, ScanReport, ScanState


def looked_for_vulnerabilities(report: ScanReport) -> bool:
    """Say whether every image was scanned, and known vulnerabilities were looked for."""
    return bool(report.images) and all(
        image.state is not ScanState.FAILED
        and Kind.VULNERABILITY not in image.coverage.not_looked_for
        for image in report.images
    )
