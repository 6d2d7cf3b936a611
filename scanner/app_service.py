"""The composition root of the service: from settings to what serves, and to what works beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from scanner.client import ClientOptions
from scanner.config import Settings
from scanner.errors import SettingsError


def client_options(
    settings: Settings, environment: Mapping[str, str] | None = None
) -> ClientOptions:
    """Return how the server that ``client.url`` names is spoken to.

    Raises:
        SettingsError: the token's file cannot be read.
    """
    client = settings.client
    variables = os.environ if environment is None else environment
    token = variables.get("SCANNER_TOKEN") or client.token
    if not token and client.token_file:
        token = read_secret(client.token_file, "client.token_file")
    return ClientOptions(
        url=client.url,
        token=token,
        ca_file=Path(client.ca_file).expanduser() if client.ca_file else None,
        insecure=client.insecure,
        idle_seconds=settings.limits.idle_seconds,
    )


def read_secret(file: str, setting: str) -> str:
    """Return the secret that a file holds, without the white space around it.

    Raises:
        SettingsError: it cannot be read, is no text, or is empty.
    """
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(setting, f"{file}: {error.strerror or 'cannot be read'}") from error
    except ValueError as error:
        raise SettingsError(setting, f"{file}: not a text") from error
    if not text:
        raise SettingsError(setting, f"{file}: empty")
    return text
