"""Options of the commands that write a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scanner.discovery import report_formats
from scanner.model import Severity

format_option: Callable[[Any], Any] = click.option(
    "--format",
    "format_name",
    type=click.Choice(sorted(report_formats())),
    default="table",
    show_default=True,
    help="How the report is written.",
)
output_option: Callable[[Any], Any] = click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to FILE instead of standard output.",
)
fail_on_option: Callable[[Any], Any] = click.option(
    "--fail-on",
    type=click.Choice([s.value for s in Severity]),
    help="Exit with 1 if a finding is at least this severe.",
)
