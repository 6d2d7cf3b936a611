"""``scanner db``: the service's database and the advisories, by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scanner.cli.advisories import COMMANDS as ADVISORY_COMMANDS
from scanner.cli.advisory_artifacts import COMMANDS as ARTIFACT_COMMANDS
from scanner.cli.options import config_option
from scanner.config import load_settings


@click.group("db", short_help="Known vulnerabilities; the database: up to date, saved, tidied.")
def COMMAND() -> None:  # noqa: N802 - what every command module exports
    """Look after known vulnerabilities, and the database that these settings name. The service may run meanwhile."""


for _command in (*ADVISORY_COMMANDS, *ARTIFACT_COMMANDS):
    COMMAND.add_command(_command)


@COMMAND.command("migrate", short_help="Bring the tables up to date.")
@config_option
def migrate(config: Path | None) -> None:
    """Make the tables, or bring them up to date, in one transaction. Every command does so by itself."""
    from scanner import app, app_service  # noqa: PLC0415 - `scanner --help` imports every command

    settings = load_settings(config, {})
    app.open_store(settings).close()
    click.echo(f"{app_service.shown_location(settings)}: up to date")


@COMMAND.command("backup", short_help="Save the embedded database to a new file.")
@click.argument("file", type=click.Path(path_type=Path))
@config_option
def backup(file: Path, config: Path | None) -> None:
    """Write a whole copy of the embedded database to FILE, which must not be there yet."""
    from scanner import app_service  # noqa: PLC0415

    def show(done: int, pages: int) -> None:
        click.echo(f"\r{done * 100 // max(1, pages):3} %", err=True, nl=done == pages)

    shown = show if sys.stderr.isatty() else None
    app_service.backup(load_settings(config, {}), file, shown)


@COMMAND.command("collect", short_help="Let go of what nobody needs any more.")
@config_option
def collect(config: Path | None) -> None:
    """Delete what the settings in [retention] say is kept no longer, and tell how much of what."""
    from scanner import app_service  # noqa: PLC0415

    for kind, count in sorted(app_service.collect(load_settings(config, {})).items()):
        click.echo(f"{kind}: {count}")
