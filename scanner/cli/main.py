"""The ``scanner`` command. Commands are the modules of ``scanner.cli.commands``, loaded when used."""

from __future__ import annotations

import gc

gc.disable()  # imports make no garbage worth collecting; 0.1 s of start-up

import importlib  # noqa: E402
import os  # noqa: E402
import pkgutil  # noqa: E402
import sys  # noqa: E402

import click  # noqa: E402

from scanner import __version__  # noqa: E402
from scanner.cli.exit_codes import ExitCode  # noqa: E402
from scanner.errors import (  # noqa: E402
    InvalidReferenceError,
    ScannerError,
    SettingsError,
    SigningKeyError,
)


class _Commands(click.Group):
    """A group whose commands are found by name and imported only when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        from scanner.cli import commands  # noqa: PLC0415

        return sorted(m.name for m in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"scanner.cli.commands.{cmd_name}")
        command = module.COMMAND
        return command if isinstance(command, click.Command) else None


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Look at container images: packages, credentials, weak cryptography, dangerous settings.",
)
@click.version_option(__version__, "--version", prog_name="scanner")
def cli() -> None:
    """Hold the commands."""


def main() -> None:
    """Run the command line and exit."""
    code: object = None
    try:
        code = cli(
            prog_name="scanner", standalone_mode=False
        )  # what Exit was raised with, if it was
    except click.Abort:
        _leave(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        _leave(ExitCode.USAGE)
    except ScannerError as error:
        _complain(error)
        usage = isinstance(error, SettingsError | InvalidReferenceError | SigningKeyError)
        _leave(ExitCode.USAGE if usage else ExitCode.FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(ExitCode.CLEAN)
    _leave(code if isinstance(code, int) else ExitCode.CLEAN)


def _complain(error: ScannerError) -> None:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(_printable(str(error)), err=True)
    if error.hint:
        click.echo(f"  {_printable(error.hint)}", err=True)


def _printable(text: str) -> str:
    from scanner.reports.table import printable  # noqa: PLC0415 - only where there is an error

    return printable(text)


def _leave(code: int) -> None:
    """Exit without taking the interpreter apart: it costs 50 ms and frees nothing the kernel does not."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    finally:
        os._exit(int(code))


if __name__ == "__main__":
    main()
