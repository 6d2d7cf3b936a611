"""``scanner serve``: the service, with its workers beside it, until told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from scanner.cli.options import config_option
from scanner.config import Settings, load_settings


@click.command("serve", short_help="Serve webhooks and answers, and scan what is pushed.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen. Default: server.listen.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=0),
    help="Worker processes; 0 where they run elsewhere. Default: server.workers.",
)
@config_option
def COMMAND(config: Path | None, **options: Any) -> None:  # noqa: N802 - what every command module exports
    """Take webhooks of registries, scan what they tell of, and answer by digest.

    One line on standard output tells where it listens; logs go to standard error. SIGTERM lets requests and
    scans finish (server.drain_seconds), then ends it. Others than this machine are let in only once there is
    a token: scanner token create.
    """
    import asyncio  # noqa: PLC0415 - `scanner --help` imports every command

    from scanner import app_attest, app_service  # noqa: PLC0415
    from scanner.cli.passphrase import take_passphrase  # noqa: PLC0415

    chosen = {f"server.{name}": value for name, value in options.items() if value is not None}
    settings = load_settings(config, chosen)
    app_service.set_up_service_logs(settings)
    passphrase = take_passphrase(settings.attest.key or str(app_attest.key_path(settings)))
    asyncio.run(
        app_service.serve(
            settings, _worker_command(config), passphrase, on_listening=_tell(settings)
        )
    )


def _worker_command(config: Path | None) -> list[str]:
    command = [sys.executable, "-P", "-m", "scanner.cli.main", "worker"]
    return [*command, "--config", str(config)] if config else command


def _tell(settings: Settings) -> Any:
    host = settings.server.listen.rpartition(":")[0]
    scheme = "https" if settings.server.tls_key else "http"

    def tell(port: int) -> None:
        click.echo(f"listening on {scheme}://{host}:{port}")
        sys.stdout.flush()

    return tell
