"""``scanner scan``: scan one reference, write one report."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from scanner import app
from scanner.cli.exit_codes import ExitCode, exit_code_of
from scanner.cli.interpreter import calm_interpreter
from scanner.cli.judging import judge_of
from scanner.cli.options import config_option, server_option
from scanner.cli.output import write_report
from scanner.cli.progress import LiveProgress
from scanner.cli.report_options import fail_on_option, format_option, output_option
from scanner.config import Settings, load_settings
from scanner.errors import ScanCancelledError
from scanner.model import Platform, ScanReport, Severity
from scanner.model.reference import parse_platform
from scanner.pipeline.scan import scan
from scanner.ports import SilentProgress

_GRACE_SECONDS: Final = 3.0


@click.command(short_help="Scan an image and report what is in it.")
@click.argument("reference", metavar="REF")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH[/VARIANT]",
    help="Platform of an index to scan (repeatable). Default: every runnable one.",
)
@format_option
@output_option
@fail_on_option
@click.option(
    "--policy",
    "policy_file",
    metavar="FILE",
    help="Judge by this policy (policy.file), or by the built-in one: default. Exit with 1 if it denies.",
)
@click.option("--offline", is_flag=True, default=None, help="Never open a network connection.")
@config_option
@click.option(
    "--insecure-registry",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Speak plain http to this registry (repeatable).",
)
@server_option
@click.option("--quiet", "-q", is_flag=True, help="No progress display.")
@click.option("--timings", is_flag=True, help="Tell on standard error where the time went.")
def COMMAND(  # noqa: N802 - what every command module exports
    reference: str,
    platforms: tuple[str, ...],
    format_name: str,
    output: Path | None,
    config: Path | None,
    *,
    policy_file: str | None,
    server: str | None,
    quiet: bool,
    timings: bool,
    **options: Any,
) -> None:
    """Scan REF and write a report.

    REF is a registry reference (registry.example/team/app:1.2), or a path: an OCI layout (directory or
    tar), a docker archive, or a root file system directory. A scheme forces the kind: docker://, oci:,
    oci-archive:, docker-archive:, dir:.

    Exit codes: 0 clean, 1 a finding reaches --fail-on or the policy denies, 2 usage, 3 something could not be looked at, 4 could
    not scan, 130 interrupted.

    With --server, that server scans an image of a registry; everything else is as without.
    """
    settings = load_settings(config, _as_settings(platforms, server, options))
    fail_on = Severity(settings.scan.fail_on) if settings.scan.fail_on else None
    judge = judge_of(policy_file or settings.policy.file)
    wanted = [parse_platform(p) for p in settings.scan.platforms]
    progress = LiveProgress() if not quiet and sys.stderr.isatty() else None
    try:
        if server:  # the setting alone does not send a scan elsewhere
            if settings.scan.offline or options["insecure_registry"]:
                raise click.UsageError(
                    "--offline and --insecure-registry say how to scan here: not with --server"
                )
            report = _scan_there(settings, reference, wanted, progress)
        else:
            report = scan_here(settings, reference, wanted, progress)
    finally:
        if progress is not None:
            progress.close()
    report = judge(report)
    write_report(report, format_name, output)
    if not server:
        _tell_hint(settings, report)
    if timings:
        _tell_timings(report)
    raise click.exceptions.Exit(exit_code_of(report, fail_on))


def scan_here(
    settings: Settings, reference: str, wanted: list[Platform], progress: LiveProgress | None
) -> ScanReport:
    """Scan on this machine, with its store; Ctrl-C and SIGTERM end it."""
    with _stoppable() as cancelled:
        store = app.open_store(settings)
        try:
            from scanner import app_advisories  # noqa: PLC0415 - `scanner --help` imports every command

            context = app.build_context(settings, store, app_advisories.matching(settings))
            calm_interpreter()
            report = scan(reference, wanted, context, progress or SilentProgress(), cancelled)
            store.record_scan(report, is_whole=not wanted)
        except ScanCancelledError:
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
        else:
            return report
        finally:
            store.close()


def _scan_there(
    settings: Settings, reference: str, wanted: list[Platform], progress: LiveProgress | None
) -> ScanReport:
    from scanner.cli.remote_scan import scan_on_server  # noqa: PLC0415 - requests costs 0.1 s

    return scan_on_server(settings, reference, wanted, progress)


def _as_settings(
    platforms: tuple[str, ...], server: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {"client.url": server} if server else {}
    if platforms:
        values["scan.platforms"] = list(platforms)
    if options["insecure_registry"]:
        values["registry.insecure"] = list(options["insecure_registry"])
    for name in ("fail_on", "offline"):
        if options[name] is not None:
            values[f"scan.{name}"] = options[name]
    return values


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


def _tell_hint(settings: Settings, report: ScanReport) -> None:
    from scanner import app_advisories  # noqa: PLC0415 - as above

    hint = app_advisories.hint(settings, report)
    if hint:
        click.echo(hint, err=True)


def _tell_timings(report: ScanReport) -> None:
    for stage, seconds in report.stage_seconds.items():
        click.echo(f"{stage:>10} {seconds:8.3f} s", err=True)
    click.echo(f"{'scan':>10} {report.seconds:8.3f} s", err=True)
