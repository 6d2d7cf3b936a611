"""What a report format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from scanner.model import ScanReport


@dataclass(frozen=True, slots=True)
class ReportFormat:
    """One way to write a report. ``write(report, stream, colour, width)``; ``width`` in columns.

    A leaf module below ``scanner.reports`` exports ``FORMAT`` and is found by walking the package.
    """

    name: str
    media_type: str
    write: Callable[[ScanReport, TextIO, bool, int], None]
    summary: str = ""
