"""``scanner check``: look at what runs images, not at images."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.exit_codes import exit_code_of
from scanner.cli.output import write_report
from scanner.cli.report_options import fail_on_option, format_option, output_option
from scanner.model import FileIssue, Severity
from scanner.pipeline.scan import SCHEMA_VERSION
from scanner.ports.control import Level, PodContext

if TYPE_CHECKING:
    from scanner.pod_security.check import CheckedFile


@click.group("check", short_help="Look at what runs images: manifests of Kubernetes.")
def COMMAND() -> None:  # noqa: N802 - what every command module exports
    """Look at what runs images, not at images themselves."""


@COMMAND.command("manifests", short_help="Check pods in manifests of Kubernetes.")
@click.argument("place", metavar="FILE|DIR|-")
@click.option(
    "--level",
    type=click.Choice([Level.BASELINE.value, Level.RESTRICTED.value]),
    default=Level.RESTRICTED.value,
    show_default=True,
    help="Level of the Pod Security Standards.",
)
@click.option(
    "--version",
    "version",
    metavar="v1.NN|latest",
    default="latest",
    show_default=True,
    help="Version of the Pod Security Standards.",
)
@format_option
@output_option
@fail_on_option
def manifests(
    place: str,
    *,
    level: str,
    version: str,
    format_name: str,
    output: Path | None,
    fail_on: str | None,
) -> None:
    """Check the pods of manifests: YAML or JSON, many documents or one, lists, what helm template prints.

    FILE is one file, DIR every .yaml, .yml and .json below it, - standard input. Nothing of a cluster or a
    registry is asked.

    Exit codes: 0 clean, 1 a finding reaches --fail-on, 2 usage, 3 something could not be read as a manifest,
    4 there is no object of Kubernetes.
    """
    from scanner.cli.manifest_files import manifest_files  # noqa: PLC0415 - YAML costs start-up
    from scanner.pod_security.check import check_file  # noqa: PLC0415
    from scanner.pod_security.report import report_of  # noqa: PLC0415
    from scanner.pod_security.versions import parse_version  # noqa: PLC0415

    began = time.monotonic()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    context = PodContext(parse_version(version))
    files: list[CheckedFile] = []
    issues: list[FileIssue] = []
    for one in manifest_files(place):
        if isinstance(one, FileIssue):
            issues.append(one)
        else:
            files.append(check_file(*one, Level(level), context))
    report = report_of(
        files,
        issues,
        name="standard input" if place == "-" else place,
        level=Level(level),
        minor=context.minor,
        schema_version=SCHEMA_VERSION,
        started_at=started_at,
        seconds=round(time.monotonic() - began, 3),
    )
    write_report(report, format_name, output)
    raise click.exceptions.Exit(exit_code_of(report, Severity(fail_on) if fail_on else None))
