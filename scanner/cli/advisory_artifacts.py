"""``scanner db push`` and ``scanner db pull``: advisories by way of a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scanner.cli.advisories import leave
from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import config_option
from scanner.cli.passphrase import passphrase_of
from scanner.config import load_settings
from scanner.errors import UnverifiedError

_insecure_option = click.option(
    "--insecure-registry", multiple=True, metavar="HOST[:PORT]",
    help="Speak plain http to this registry (repeatable).",
)  # fmt: skip


@click.command("push", short_help="Push known vulnerabilities to a registry, signed.")
@click.argument("reference", metavar="oci://REF")
@click.argument("ecosystems", metavar="[ECOSYSTEM]...", nargs=-1)
@click.option(
    "--key",
    metavar="FILE|URI",
    help="Private key, or awskms:, gcpkms:, azurekms:, hv:, hsm: URI (attest.key).",
)
@_insecure_option
@config_option
def push(
    reference: str,
    ecosystems: tuple[str, ...],
    key: str | None,
    insecure_registry: tuple[str, ...],
    config: Path | None,
) -> None:
    """Push the databases, or those of ECOSYSTEMs, as an OCI artifact to a tag, with a signed statement beside it.

    Exit codes: 0 pushed, 2 usage or key, 4 the registry does not take it.
    """
    from scanner import app_attest, app_exchange  # noqa: PLC0415 - `scanner --help` imports every command

    values: dict[str, Any] = {"attest.key": key} if key else {}
    settings = load_settings(config, values | _insecure(insecure_registry))
    where = app_exchange.parse_artifact(reference)
    place = settings.attest.key or str(app_attest.key_path(settings))
    signer, made = app_attest.open_signer(settings, passphrase_of(place))
    if made:
        click.echo(f"made a signing key: {place}. Its public key, for those who pull:", err=True)
        click.echo(signer.key.pem, nl=False, err=True)
    digest, abouts = app_exchange.push(settings, where, ecosystems, signer)
    click.echo(f"{app_exchange.SCHEME}{where.name}@{digest}: pushed {', '.join(abouts)}, signed by {signer.key.id[:16]}…")  # fmt: skip


@click.command("pull", short_help="Pull known vulnerabilities from a registry, proven.")
@click.argument("reference", metavar="oci://REF")
@click.argument("ecosystems", metavar="[ECOSYSTEM]...", nargs=-1)
@click.option(
    "--key", "keys", metavar="FILE", multiple=True,
    help="Public key whose signature counts (repeatable; attest.trusted_keys).",
)  # fmt: skip
@click.option(
    "--allow-shrinking", is_flag=True, help="Take data that has lost more than half of its records."
)
@_insecure_option
@config_option
def pull(
    reference: str,
    ecosystems: tuple[str, ...],
    keys: tuple[str, ...],
    insecure_registry: tuple[str, ...],
    config: Path | None,
    *,
    allow_shrinking: bool,
) -> None:
    """Take in the databases of an artifact that one of the keys has signed, or that REF names by its digest.

    Exit codes: 0 taken in, 2 usage or key, 4 it cannot be had or is broken, 6 none of the keys has signed it.
    """
    from scanner import app_exchange  # noqa: PLC0415 - as above

    values = {"attest.trusted_keys": list(keys)} if keys else {}
    settings = load_settings(config, values | _insecure(insecure_registry))
    where = app_exchange.parse_artifact(reference)
    try:
        leave(app_exchange.pull(settings, where, ecosystems, may_shrink=allow_shrinking))
    except UnverifiedError as error:
        click.echo(f"not proven: {error}", err=True)
        raise click.exceptions.Exit(ExitCode.UNVERIFIED) from error


def _insecure(hosts: tuple[str, ...]) -> dict[str, Any]:
    return {"registry.insecure": list(hosts)} if hosts else {}


COMMANDS = (push, pull)
