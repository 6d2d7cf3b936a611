"""``scanner query``: what is known of an image, without scanning it here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import config_option, server_option
from scanner.cli.output import write_report
from scanner.cli.report_options import fail_on_option
from scanner.config import load_settings
from scanner.discovery import report_formats
from scanner.errors import UnauthorizedError, UpstreamError
from scanner.model import Decision, Reference, Severity, parse_digest, parse_reference

if TYPE_CHECKING:
    from scanner.cli.asking import Asker
    from scanner.web._image_answer import ImageAnswer

_WAIT_SECONDS: Final = 600.0
_FIRST_POLL_SECONDS: Final = 0.05
_LONGEST_POLL_SECONDS: Final = 0.5
_REASONS_SHOWN: Final = 10
_SUMMARY: Final = "summary"
_WORDS: Final = {
    "unknown": "nobody has had it scanned",
    "queued": "waits to be scanned",
    "scanning": "is being scanned",
}
_DIGESTS: Final = ("sha256:", "sha512:")


@click.command("query", short_help="Tell what is known of an image, by digest.")
@click.argument("image", metavar="DIGEST|REF")
@server_option
@click.option(
    "--wait",
    "wait_seconds",
    metavar="[SECONDS]",
    is_flag=False,
    flag_value=_WAIT_SECONDS,
    type=click.FloatRange(min=0),
    help=f"Wait for an answer, at most so long; {_WAIT_SECONDS:.0f} without a number. Write --wait=60.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice([_SUMMARY, *sorted(report_formats())]),
    default=_SUMMARY,
    show_default=True,
    help="A few lines, or the whole report in one of its formats.",
)
@fail_on_option
@config_option
def COMMAND(  # noqa: N802 - what every command module exports
    image: str,
    *,
    server: str | None,
    wait_seconds: float | None,
    format_name: str,
    fail_on: str | None,
    config: Path | None,
) -> None:
    """Tell what a server (--server, client.url) knows of an image; without one, what is in the database here.

    A DIGEST is what to ask for. A REF with a tag asks for what the tag led to when it was last looked at;
    with --wait for what it leads to now, and has it scanned if need be. A server's token comes from
    SCANNER_TOKEN, client.token or client.token_file.

    Exit codes: 0 clean, 1 the policy denies or a finding reaches --fail-on, 2 usage, 3 something could not be looked at, 4 could
    not be scanned or not be asked, 5 not known, or not yet.
    """
    # Here, because `scanner --help` imports every command.
    from scanner.cli.asking import opened_asker  # noqa: PLC0415

    chosen = {"client.url": server, "scan.fail_on": fail_on}
    settings = load_settings(config, {name: value for name, value in chosen.items() if value})
    least = Severity(settings.scan.fail_on) if settings.scan.fail_on else None
    reference = None if image.startswith(_DIGESTS) else parse_reference(image)
    digest = (reference.digest or "") if reference else parse_digest(image)
    with opened_asker(settings) as asker:
        answer = _answer(asker, digest, reference)
        if wait_seconds is not None and (_is_open(answer) or not digest):
            answer = _wait(asker, digest, reference, time.monotonic() + wait_seconds)
        code = _exit_code(answer, least)
        if code is not ExitCode.UNKNOWN and format_name != _SUMMARY:
            _write_report(asker, answer, format_name)
        else:
            _write_summary(answer, image)
    raise click.exceptions.Exit(code)


def _answer(asker: Asker, digest: str, reference: Reference | None) -> ImageAnswer:
    """Return what is known now, by the digest or by what the tag led to."""
    if not digest and reference is not None:
        digest = asker.digest_of_tag(reference)
    name = reference.name if reference is not None else ""
    return asker.image(digest, name) if digest else _no_answer("")


def _wait(asker: Asker, digest: str, reference: Reference | None, until: float) -> ImageAnswer:
    """Return the answer when there is one, or what there is at ``until``."""
    scan_id = ""
    if reference is not None:
        try:
            scan_id = asker.request_scan(reference).id
        except UnauthorizedError:
            if not digest:
                raise
            # A token that may only read: somebody else will have it scanned.
    pause_seconds = _FIRST_POLL_SECONDS
    while True:
        left_seconds = until - time.monotonic()
        try:
            answer = _look(asker, digest, scan_id, reference.name if reference else "")
        except UpstreamError as error:
            if not error.retryable or left_seconds <= 0:
                raise
            # The server is away for a moment: whoever waits goes on waiting.
        else:
            if not _is_open(answer) or left_seconds <= 0:
                return answer
        time.sleep(max(min(pause_seconds, left_seconds), 0))
        pause_seconds = min(pause_seconds * 1.5, _LONGEST_POLL_SECONDS)


def _look(asker: Asker, digest: str, scan_id: str, name: str) -> ImageAnswer:
    """Return what is known now of a digest; without one, of what the scan has resolved its tag to."""
    if not digest:
        scan = asker.scan(scan_id)
        if scan.is_over and not scan.digest:
            return _no_answer(scan.error)
        digest = scan.digest
    return asker.image(digest, name) if digest else _no_answer("")


def _no_answer(error: str) -> ImageAnswer:
    """Return the answer without a digest: a tag that nobody knows, or that could not be resolved."""
    from scanner.web._image_answer import ImageAnswer, ImageState  # noqa: PLC0415

    return ImageAnswer(
        digest="", state=ImageState.FAILED if error else ImageState.UNKNOWN, error=error
    )


def _is_open(answer: ImageAnswer) -> bool:
    """Whether there may be more to know soon."""
    return answer.state in {"unknown", "queued", "scanning"}


def _exit_code(answer: ImageAnswer, fail_on: Severity | None) -> ExitCode:
    """Return what :func:`scanner.cli.exit_codes.exit_code_of` says of a report, from its counts."""
    if _is_open(answer):
        return ExitCode.UNKNOWN
    if answer.state == "failed":
        return ExitCode.FAILED
    counts = answer.severities or {}
    if fail_on is not None and any(n for s, n in counts.items() if s.rank >= fail_on.rank):
        return ExitCode.DENIED
    if answer.verdict is Decision.DENY:
        return ExitCode.DENIED
    return ExitCode.INCOMPLETE if answer.state == "partial" else ExitCode.CLEAN


def _write_report(asker: Asker, answer: ImageAnswer, format_name: str) -> None:
    report = asker.report(answer.digest)
    if report is None:
        _write_summary(answer, answer.digest)
        return
    write_report(report, format_name, None)


def _write_summary(answer: ImageAnswer, asked: str) -> None:
    from scanner.reports.table import printable  # noqa: PLC0415

    counts = [f"{n} {severity}" for severity, n in (answer.severities or {}).items() if n]
    if answer.severities is not None:
        found = ", ".join(counts) or "no findings"
    else:
        found = answer.error or _WORDS.get(answer.state, "")
    lines = [answer.digest or asked]
    if answer.kind:
        where = f" as {answer.reference}" if answer.reference else ""
        lines.append(f"  {answer.kind} {answer.platform}{where}")
    if answer.scanned_at is not None:
        packages = f"{answer.packages_count} packages" if answer.packages_count is not None else ""
        lines.append(f"  scanned {answer.scanned_at:%Y-%m-%d %H:%M} UTC, {packages}")
    lines.append(f"{answer.state}: {found}")
    if answer.verdict is not None and not _is_open(answer):
        lines += _verdict_lines(answer)
    for line in lines:
        click.echo(printable(line))


def _verdict_lines(answer: ImageAnswer) -> list[str]:
    lines = [f"{answer.verdict} by policy {answer.policy}"]
    for reason in answer.reasons[:_REASONS_SHOWN]:
        where = reason.path or reason.package
        lines.append(
            f"  {reason.decision} {reason.rule}: {reason.message}{where and f' ({where})'}"
        )
    more = (answer.reasons_count or 0) - _REASONS_SHOWN
    return [*lines, f"  and {more} more"] if more > 0 else lines
