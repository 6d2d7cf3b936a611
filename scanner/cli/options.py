"""What the commands of the service share: options, and how they call what is asynchronous."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from scanner.config import Settings
from scanner.ports import ServiceStore

T = TypeVar("T")

config_option: Callable[[Any], Any] = click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="Settings file."
)
server_option: Callable[[Any], Any] = click.option(
    "--server", metavar="URL", help="Ask this server (client.url): https://scanner.example."
)


def ask_store(settings: Settings, ask: Callable[[ServiceStore], Awaitable[T]]) -> T:
    """Return what ``ask`` finds in the service's database, which is closed again; raises StoreError."""
    import asyncio  # noqa: PLC0415 - `scanner --help` imports every command

    from scanner import app_service  # noqa: PLC0415

    async def main() -> T:
        store = await app_service.open_service_store(settings)
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(main())
