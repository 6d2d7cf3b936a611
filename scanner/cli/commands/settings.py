"""``scanner settings``: every setting, its value and where that comes from."""

from __future__ import annotations

from pathlib import Path

import click

from scanner.cli.options import config_option
from scanner.config import explain_settings


@click.command("settings", short_help="List every setting with its value and origin.")
@config_option
def COMMAND(config: Path | None) -> None:  # noqa: N802 - what every command module exports
    """List every setting: value, default, origin, environment variable, meaning."""
    for info in explain_settings(config):
        click.secho(f"{info.name} = {info.value}", bold=True)
        click.echo(f"  {info.description}")
        click.echo(f"  default {info.default or '(empty)'} · from {info.origin} · {info.variable}")
