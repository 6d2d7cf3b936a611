"""``scanner completion``: the script that teaches a shell to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion", short_help="Print a shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def COMMAND(context: click.Context, shell: str) -> None:  # noqa: N802 - what every command module exports
    """Print the completion script for SHELL.

    For bash: scanner completion bash > ~/.local/share/bash-completion/completions/scanner
    """
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click knows the three we offer
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "scanner", "_SCANNER_COMPLETE").source())
