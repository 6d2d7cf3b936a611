"""The ports of the service, in memory, and the application on a free port of this machine."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

from scanner.discovery import webhook_sources
from scanner.errors import StoreError
from scanner.ports import Credential, CredentialKind
from scanner.web._auth import hash_of_token
from scanner.web._context import QueueState, TokenGrant, WebContext, WebhookEndpoint
from scanner.web._metrics import Metrics
from scanner.web.application import build_application


class MemoryTokens:
    def __init__(self, **scopes):
        self.grants = {
            hash_of_token(token): TokenGrant(f"{token}-name", frozenset(names))
            for token, names in scopes.items()
        }

    async def load_token(self, token_hash):
        return self.grants.get(token_hash)

    async def has_tokens(self):
        return bool(self.grants)


class MemoryIntake:
    """Scans are the pushes' distinct images; ``batches`` has the size of each transaction."""

    def __init__(self):
        self.scans = {}
        self.batches = []
        self.broken = False

    async def save_pushes(self, pushes):
        if self.broken:
            raise StoreError("/secret/place/scanner.db", "disk full")
        self.batches.append(len(pushes))
        await asyncio.sleep(0)
        images = [(p.push.host, p.push.repository, p.push.tag, p.push.digest) for p in pushes]
        return [self.scans.setdefault(image, f"scan-{len(self.scans)}") for image in images]

    async def queue_state(self):
        if self.broken:
            raise StoreError("/secret/place/scanner.db", "disk full")
        return QueueState({"queued": len(self.scans)}, 1.5)


def endpoint(name, dialect, kind=CredentialKind.BEARER, **more):
    host = more.pop("host", "")
    return WebhookEndpoint(
        name=name,
        source=webhook_sources()[dialect],
        credential=Credential(kind=kind, **more),
        host=host,
    )


def context_of(*endpoints, **more):
    values = {
        "tokens": MemoryTokens(),
        "intake": MemoryIntake(),
        "webhooks": {e.name: e for e in endpoints},
        "allowed_registries": ("reg.example:5000", "*.allowed.example"),
        "metrics": Metrics(),
    }
    return WebContext(**{**values, **more})


@asynccontextmanager
async def serving(context):
    """Yield a client whose paths are the application's."""
    runner = web.AppRunner(build_application(context), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            yield client
    finally:
        await runner.cleanup()
