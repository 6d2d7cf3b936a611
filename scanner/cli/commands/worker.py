"""``scanner worker``: do queued scans until told to stop."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import click

from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import config_option
from scanner.config import load_settings


@click.command("worker", short_help="Do queued scans; scanner serve runs its own.")
@config_option
def COMMAND(config: Path | None) -> None:  # noqa: N802 - what every command module exports
    """Take scans from the queue of scanner serve and do them, one at a time.

    Any number may run, on any machine that reaches the same database (store.url). SIGTERM lets the scan that
    runs finish (server.drain_seconds), else gives it back; Ctrl-C does so too, a second one ends the process at
    once. After some hundred scans it ends with 0, to be started anew.
    """
    from scanner import app_service  # noqa: PLC0415 - `scanner --help` imports every command
    from scanner.cli.interpreter import calm_interpreter  # noqa: PLC0415

    settings = load_settings(config, {})
    app_service.set_up_service_logs(settings)
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        # A service manager may send SIGTERM to the service and all below it, and the service once more.
        if stop.is_set() and number == signal.SIGINT:
            os._exit(ExitCode.INTERRUPTED)  # its lease runs out
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    calm_interpreter()
    end = app_service.work(settings, stop)
    raise click.exceptions.Exit(ExitCode.FAILED if end == "stuck" else ExitCode.CLEAN)
