"""TLS from files, taken anew when they change: a renewed certificate needs no restart.

Source: https://docs.python.org/3/library/ssl.html#ssl.SSLContext.load_cert_chain
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

from scanner.errors import SettingsError

_CHECK_SECONDS: Final = 10.0
_LOG: Final = logging.getLogger(__name__)


def tls_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return a server's context. With ``client_ca`` clients may show a certificate of one of these.

    Raises:
        SettingsError: a file cannot be read, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    if client_ca is not None:
        _ask_clients(context, client_ca)
    return context


def _ask_clients(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or "not usable"
        raise SettingsError("server.client_ca", f"{client_ca}: {reason}") from error
    context.verify_mode = ssl.CERT_OPTIONAL


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # A callback, so that an encrypted key is an error and not a question on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not usable"
        raise SettingsError("server.tls_certificate", f"{certificate}, {key}: {reason}") from error


async def keep_fresh(
    context: ssl.SSLContext, certificate: Path, key: Path, *, check_seconds: float = _CHECK_SECONDS
) -> None:
    """Load the files into ``context`` whenever they change, for ever; bad ones leave the old in use."""
    seen = _stamp(certificate, key)
    while True:
        await asyncio.sleep(check_seconds)
        now = _stamp(certificate, key)
        if now == seen:
            continue
        try:
            # Into one of its own first: a pair half replaced must not spoil the one in use.
            await asyncio.to_thread(tls_context, certificate, key)
            _load(context, certificate, key)
        except SettingsError as error:
            _LOG.warning("TLS files changed and cannot be used yet", extra={"reason": error.reason})
            continue
        seen = now
        _LOG.info("TLS files loaded anew")


def _stamp(*paths: Path) -> tuple[tuple[int, int, int], ...] | None:
    try:
        return tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in (p.stat() for p in paths))
    except OSError:
        return None
