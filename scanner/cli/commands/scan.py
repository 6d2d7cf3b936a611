"""``scanner scan``: scan one reference, write one report."""

from __future__ import annotations

import gc
import io
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from scanner import app
from scanner.cli.exit_codes import ExitCode, exit_code_of
from scanner.cli.progress import LiveProgress
from scanner.config import load_settings
from scanner.discovery import report_formats
from scanner.errors import ScanCancelledError, SettingsError
from scanner.model import ScanReport, Severity
from scanner.model.reference import parse_platform
from scanner.pipeline.scan import scan
from scanner.ports import Progress, SilentProgress

_GRACE_SECONDS: Final = 3.0
_GC_THRESHOLD: Final = 50_000
_SWITCH_SECONDS: Final = 0.001


@click.command(short_help="Scan an image and report what is in it.")
@click.argument("reference", metavar="REF")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH[/VARIANT]",
    help="Platform of an index to scan (repeatable). Default: every runnable one.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(sorted(report_formats())),
    default="table",
    show_default=True,
    help="How the report is written.",
)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to FILE instead of standard output.",
)
@click.option(
    "--fail-on",
    type=click.Choice([s.value for s in Severity]),
    help="Exit with 1 if a finding is at least this severe.",
)
@click.option("--offline", is_flag=True, default=None, help="Never open a network connection.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Settings file.")
@click.option(
    "--insecure-registry",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Speak plain http to this registry (repeatable).",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress display.")
@click.option("--timings", is_flag=True, help="Tell on standard error where the time went.")
def COMMAND(  # noqa: N802 - what every command module exports
    reference: str,
    platforms: tuple[str, ...],
    format_name: str,
    output: Path | None,
    config: Path | None,
    *,
    quiet: bool,
    timings: bool,
    **options: Any,
) -> None:
    """Scan REF and write a report.

    REF is a registry reference (registry.example/team/app:1.2), or a path: an OCI layout (directory or
    tar), a docker archive, or a root file system directory. A scheme forces the kind: docker://, oci:,
    oci-archive:, docker-archive:, dir:.

    Exit codes: 0 clean, 1 a finding reaches --fail-on, 2 usage, 3 something could not be looked at, 4 could
    not scan, 130 interrupted.
    """
    settings = load_settings(config, _as_settings(platforms, options))
    fail_on = Severity(settings.scan.fail_on) if settings.scan.fail_on else None
    wanted = [parse_platform(p) for p in settings.scan.platforms]
    show = not quiet and sys.stderr.isatty()
    progress: Progress = LiveProgress() if show else SilentProgress()
    with _stoppable() as cancelled:
        store = app.open_store(settings)
        context = app.build_context(settings, store)
        _calm_interpreter()
        try:
            report = scan(reference, wanted, context, progress, cancelled)
        except ScanCancelledError:
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
        finally:
            if isinstance(progress, LiveProgress):
                progress.close()
            store.close()
    _write(report, format_name, output)
    if timings:
        _tell_timings(report)
    raise click.exceptions.Exit(exit_code_of(report, fail_on))


def _as_settings(platforms: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if platforms:
        values["scan.platforms"] = list(platforms)
    if options["insecure_registry"]:
        values["registry.insecure"] = list(options["insecure_registry"])
    for name in ("fail_on", "offline"):
        if options[name] is not None:
            values[f"scan.{name}"] = options[name]
    return values


def _calm_interpreter() -> None:
    """Let threads change places quickly, and the collector leave what was imported alone."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    gc.enable()


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C or SIGTERM sets; a scan that does not stop by itself is ended soon after.

    Spooled files have no name and claims end with the process, so ending it leaves nothing behind.
    """
    cancelled = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        if cancelled.is_set():
            os._exit(ExitCode.INTERRUPTED)
        cancelled.set()
        timer = threading.Timer(_GRACE_SECONDS, os._exit, (int(ExitCode.INTERRUPTED),))
        timer.daemon = True
        timer.start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(report: ScanReport, format_name: str, output: Path | None) -> None:
    chosen = report_formats()[format_name]
    if output is None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        width = shutil.get_terminal_size((100, 24)).columns
        chosen.write(report, sys.stdout, colour, width)
        sys.stdout.flush()
        return
    text = io.StringIO()
    chosen.write(report, text, False, 100)  # noqa: FBT003 - colour
    try:
        _replace(output, text.getvalue())
    except OSError as error:
        raise SettingsError(str(output), error.strerror or "cannot be written") from error


def _replace(path: Path, text: str) -> None:
    """Write a whole file or none: a killed scan must not leave half a report.

    What is no regular file (a device, a pipe) is written to, never replaced; a link's target is what is meant.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as temporary:
        name = Path(temporary.name)
        try:
            temporary.write(text)
            temporary.flush()
            name.replace(path)
        except BaseException:
            name.unlink(missing_ok=True)
            raise


def _tell_timings(report: ScanReport) -> None:
    for stage, seconds in report.stage_seconds.items():
        click.echo(f"{stage:>10} {seconds:8.3f} s", err=True)
    click.echo(f"{'scan':>10} {report.seconds:8.3f} s", err=True)
