"""Run the application until told to stop, then let everything that was begun end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from scanner.errors import SettingsError
from scanner.web._context import WebContext
from scanner.web._tls import keep_fresh, tls_context
from scanner.web._workers import Workers
from scanner.web.application import build_application

_HIGHEST_PORT: Final = 65_535
_LINE_BYTES: Final = 65_536
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where to listen, with what, and how to stop."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    worker_command: Sequence[str] = ()
    workers_count: int = 0
    drain_seconds: float = 30.0


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[::1]:port``; port 0 takes a free one.

    Raises:
        SettingsError: it has another form.
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not port.isascii() or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise SettingsError("server.listen", "expected host:port, or [address]:port for IPv6")
    return host, int(port)


def runner_of(application: web.Application, *, drain_seconds: float) -> web.AppRunner:
    """Return what runs the application; nothing is opened before its ``setup``."""
    return web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=drain_seconds,
        # Longer than any parameter may be, so that we can say which one is too long.
        max_line_size=_LINE_BYTES,
    )


async def serve(
    context: WebContext,
    options: ServerOptions,
    *,
    stop: asyncio.Event | None = None,
    on_listening: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve until ``stop`` is set (by SIGTERM and SIGINT if none is given), then drain.

    ``on_listening`` is called with the port once requests are taken.

    Raises:
        SettingsError: the TLS files or the address cannot be used.
    """
    stopping = stop or _stop_on_signals()
    tls = None
    if options.certificate is not None and options.key is not None:
        tls = tls_context(options.certificate, options.key, options.client_ca)
    runner = runner_of(build_application(context), drain_seconds=options.drain_seconds)
    await runner.setup()
    workers = Workers(options.worker_command, options.workers_count, context.metrics)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, options.host, options.port, ssl_context=tls, backlog=1_024)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or "cannot listen there"
            raise SettingsError(
                "server.listen", f"{options.host}:{options.port}: {reason}"
            ) from error
        if tls is not None and options.certificate is not None and options.key is not None:
            task = asyncio.create_task(keep_fresh(tls, options.certificate, options.key))
            stack.callback(task.cancel)
        workers.start()
        on_listening(int(runner.addresses[0][1]))
        _LOG.info("listening", extra={"port": runner.addresses[0][1], "tls": tls is not None})
        await stopping.wait()
        context.liveness.draining = True
        _LOG.info("draining")
        await site.stop()
        # Side by side: requests in flight and scans have the same time, not one after the other.
        await asyncio.gather(runner.shutdown(), workers.stop(grace_seconds=options.drain_seconds))
    _LOG.info("stopped")


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
