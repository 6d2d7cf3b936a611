"""``scanner key``: make and show the keys that sign attestations."""

from __future__ import annotations

from pathlib import Path

import click

from scanner.cli.options import config_option
from scanner.cli.passphrase import from_environment, passphrase_of
from scanner.config import load_settings
from scanner.errors import SigningKeyError


@click.group("key", short_help="Make and show keys that sign attestations.")
def COMMAND() -> None:  # noqa: N802 - what every command module exports
    """Make and show the keys that sign attestations."""


@COMMAND.command("generate", short_help="Make a private key.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--algorithm",
    type=click.Choice(["ecdsa", "ed25519", "rsa"]),
    default="ecdsa",
    show_default=True,
    help="ecdsa is P-256, which every tool reads.",
)
@click.option("--encrypt", is_flag=True, help="Encrypt it with a passphrase, as cosign does.")
@config_option
def generate(file: Path | None, config: Path | None, *, algorithm: str, encrypt: bool) -> None:
    """Make a private key in FILE (default: attest.key), which nobody else may read; print its public key.

    With --encrypt, the passphrase is in SCANNER_KEY_PASSWORD or COSIGN_PASSWORD, or is asked for.
    """
    from scanner import app_attest  # noqa: PLC0415 - `scanner --help` imports every command
    from scanner.attest import key_files  # noqa: PLC0415

    path = file or app_attest.key_path(load_settings(config, {}))
    secret = _new_passphrase() if encrypt else None
    try:
        key_files.generate_key_file(path, algorithm, secret)
    except FileExistsError:
        raise SigningKeyError(
            str(path), "there is a file already; it is left as it is", hint="choose another name"
        ) from None
    signer = key_files.load_signer(path, lambda: secret or b"")
    click.echo(signer.key.pem, nl=False)
    click.echo(f"{path}: {signer.key.algorithm}, key id {signer.key.id}", err=True)


@COMMAND.command("show", short_help="Print a public key.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@config_option
def show(file: Path | None, config: Path | None) -> None:
    """Print the public key of FILE, private or public (default: attest.key), and its id on standard error."""
    from scanner import app_attest  # noqa: PLC0415 - as above
    from scanner.attest import key_files  # noqa: PLC0415

    path = file or app_attest.key_path(load_settings(config, {}))
    for key in key_files.load_any(path, passphrase_of(str(path))):
        click.echo(key.pem, nl=False)
        click.echo(f"{path}: {key.algorithm}, key id {key.id}", err=True)


def _new_passphrase() -> bytes:
    given = from_environment()
    if given is not None:
        return given
    text: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return text.encode()
