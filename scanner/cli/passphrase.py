"""Where the passphrase of an encrypted key comes from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

import click

from scanner.errors import PassphraseError

VARIABLES: Final = ("SCANNER_KEY_PASSWORD", "COSIGN_PASSWORD")


def passphrase_of(where: str) -> Callable[[], bytes]:
    """Return what is to be called for an encrypted key: the environment is asked, then the terminal."""

    def passphrase() -> bytes:
        given = from_environment()
        if given is not None:
            return given
        if not sys.stdin.isatty():
            raise PassphraseError(
                where,
                "it is encrypted, and there is no passphrase",
                hint=f"set {' or '.join(VARIABLES)}",
            )
        text: str = click.prompt(f"Passphrase of {where}", hide_input=True, err=True, default="")
        return text.encode()

    return passphrase


def take_passphrase(where: str) -> Callable[[], bytes]:
    """Return the same, with the passphrase taken out of the environment: processes started from here have it not."""
    given = from_environment()
    for name in VARIABLES:
        os.environ.pop(name, None)
    return passphrase_of(where) if given is None else lambda: given


def from_environment() -> bytes | None:
    """Return the passphrase that the environment gives; an empty one is one, too."""
    for name in VARIABLES:
        if name in os.environ:
            return os.environ[name].encode("utf-8", "surrogateescape")
    return None
