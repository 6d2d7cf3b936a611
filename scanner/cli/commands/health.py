"""``scanner health``: whether the service of these settings answers. What a container's health check runs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import click

from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import config_option
from scanner.config import Settings, load_settings

_SECONDS: Final = 5.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to ask instead


@click.command("health", short_help="Ask the service on this machine whether it is well.")
@click.option(
    "--ready", is_flag=True, help="Whether it can work: its database answers, it does not drain."
)
@config_option
def COMMAND(config: Path | None, *, ready: bool) -> None:  # noqa: N802 - what every command module exports
    """Leave with 0 if the service that these settings describe answers on this machine, else with 4."""
    path = "/readyz" if ready else "/healthz"
    reason = _ask(load_settings(config, {}), path)
    if reason:
        click.echo(f"{path}: {reason}", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)


def _ask(settings: Settings, path: str) -> str:
    """Return why the service is not well; empty if it is."""
    import http.client  # noqa: PLC0415 - `scanner --help` imports every command
    import ssl  # noqa: PLC0415

    host, _, port = settings.server.listen.rpartition(":")
    host = host.strip("[]")
    host = _EVERYWHERE.get(host, host)
    try:
        if settings.server.tls_key:
            # Its certificate is for the name that others use, and nothing secret is said.
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, int(port), timeout=_SECONDS, context=tls
            )
        else:
            connection = http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    return "" if status == http.client.OK else f"answers {status}"
