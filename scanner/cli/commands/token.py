"""``scanner token``: who may ask the service. A token's text is shown once, when it is made."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from scanner.cli.options import ask_store, config_option
from scanner.config import load_settings
from scanner.ports import TokenRecord

SCOPES: Final = ("read", "scan", "webhook", "admission", "admin")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SPAN: Final = re.compile(r"([1-9][0-9]{0,3})([hdw])\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,99}\Z")


@click.group("token", short_help="Create, list and revoke tokens of the service.")
def COMMAND() -> None:  # noqa: N802 - what every command module exports
    """Say who may ask the service, and for what."""


@COMMAND.command("create", short_help="Create a token and print it.")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    required=True,
    metavar="SCOPE[,SCOPE]",
    help=f"What it may be used for: {', '.join(SCOPES)} (repeatable). admin holds all others.",
)
@click.option("--expires", metavar="SPAN", help="When it ends: 12h, 90d, 8w. Default: never.")
@config_option
def create(name: str, scopes: str, expires: str | None, config: Path | None) -> None:
    """Create a token called NAME, and print its text: the only time that it is shown."""
    if not _NAME.match(name):
        raise click.BadParameter("letters, digits and . _ / @ -, at most 100", param_hint="NAME")
    wanted = _scopes(scopes)
    expires_at = datetime.now(UTC) + _span(expires) if expires else None
    text, record = ask_store(
        load_settings(config, {}),
        lambda store: store.create_token(name, wanted, expires_at=expires_at),
    )
    click.echo(text)
    until = f"until {_day(record.expires_at)}" if record.expires_at else "until it is revoked"
    click.echo(f"token {record.id} for {', '.join(sorted(record.scopes))}, {until}", err=True)


@COMMAND.command("list", short_help="List the tokens there are.")
@config_option
def list_tokens(config: Path | None) -> None:
    """List all tokens: id, first characters, name, scopes, when they end and were used last."""
    records = ask_store(load_settings(config, {}), lambda store: store.tokens())
    now = datetime.now(UTC)
    for record in records:
        scopes = ",".join(sorted(record.scopes))
        used = _day(record.last_used_at) if record.last_used_at else "never"
        click.echo(
            f"{record.id}  {record.prefix}…  {record.name:<20}  {scopes:<16}  "
            f"{_state(record, now):<19}  used {used}"
        )


@COMMAND.command("revoke", short_help="Revoke a token for good.")
@click.argument("token_id", metavar="ID")
@config_option
def revoke(token_id: str, config: Path | None) -> None:
    """Revoke the token with this ID (scanner token list). Servers refuse it within seconds."""
    if not ask_store(load_settings(config, {}), lambda store: store.revoke_token(token_id)):
        raise click.BadParameter("no such token, or revoked before", param_hint="ID")


def _scopes(text: str) -> list[str]:
    wanted = [s.strip() for s in text.split(",") if s.strip()]
    wrong = [s for s in wanted if s not in SCOPES]
    if wrong or not wanted:
        raise click.BadParameter(f"expected some of {', '.join(SCOPES)}", param_hint="--scope")
    return sorted(set(wanted))


def _span(text: str) -> timedelta:
    match = _SPAN.match(text)
    if match is None:
        raise click.BadParameter("expected a span as 12h, 90d or 8w", param_hint="--expires")
    return int(match[1]) * _UNITS[match[2]]


def _state(record: TokenRecord, now: datetime) -> str:
    if record.revoked_at is not None:
        return f"revoked {_day(record.revoked_at)}"
    if record.expires_at is None:
        return "valid"
    word = "expired" if record.expires_at <= now else "until"
    return f"{word} {_day(record.expires_at)}"


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"
