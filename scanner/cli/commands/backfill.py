"""``scanner backfill``: have scanned what a registry held before it sent events."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import ask_store, config_option
from scanner.config import load_settings

if TYPE_CHECKING:
    from scanner.service.backfill import BackfillCounts


@click.command("backfill", short_help="Queue what a registry holds already.")
@click.argument("target", metavar="REGISTRY[/REPOSITORY]")
@click.option(
    "--per-second",
    type=click.FloatRange(min=0.001, max=1_000),
    default=10.0,
    show_default=True,
    help="Requests to the registry, at most.",
)
@click.option("--dry-run", is_flag=True, help="Ask the registry and count; queue nothing.")
@click.option("--restart", is_flag=True, help="Begin anew where an earlier run was stopped.")
@click.option("--quiet", "-q", is_flag=True, help="Tell of nothing but the end.")
@config_option
def COMMAND(  # noqa: N802 - what every command module exports
    target: str,
    config: Path | None,
    *,
    per_second: float,
    dry_run: bool,
    restart: bool,
    quiet: bool,
) -> None:
    """Queue every image of a registry or repository that is not known yet, behind everything else.

    It asks the registry for its repositories, their tags and what those lead to; scanning is for the workers
    of scanner serve. A run that was stopped goes on where it was when the same command is given again.

    Exit codes: 0 all was seen, 2 usage, 3 something was left out that another run may get, 4 the registry
    does not list what it holds, 130 interrupted.
    """
    from scanner import app_loops, app_service  # noqa: PLC0415 - `scanner --help` imports every command
    from scanner.service._walk import parse_target  # noqa: PLC0415

    settings = load_settings(config, {})
    app_service.check_credentials(settings)
    chosen = parse_target(target)

    def tell(repository: object, counts: BackfillCounts) -> None:
        if not quiet:
            click.echo(f"{repository}: {_shown(counts)}", err=True)

    counts = ask_store(
        settings,
        lambda store: app_loops.run_backfill(
            settings,
            store,
            chosen,
            is_allowed=app_service.registry_check(settings),
            per_second=per_second,
            is_dry_run=dry_run,
            restart=restart,
            tell=tell,
        ),
    )
    _tell_end(chosen, counts, "would be queued" if dry_run else "queued")
    sys.stdout.flush()
    raise click.exceptions.Exit(ExitCode.CLEAN if counts.is_complete else ExitCode.INCOMPLETE)


def _shown(counts: BackfillCounts) -> str:
    return f"{counts.tags_count} tags, {counts.new_count} new, {counts.known_count} known"


def _tell_end(target: Any, counts: BackfillCounts, verb: str) -> None:
    click.echo(f"{target}: {counts.repositories_count} repositories, {counts.tags_count} tags")
    click.echo(f"{counts.new_count:>8} {verb}")
    click.echo(f"{counts.known_count:>8} known already")
    for reason, count in sorted(counts.skipped.items()):
        click.echo(f"{count:>8} left out: {reason}")
