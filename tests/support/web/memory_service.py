"""The ports of the service, in memory, and the application on a free port of this machine."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import ClientSession, web

from scanner.discovery import webhook_sources
from scanner.errors import StoreError
from scanner.ports import (
    Credential,
    CredentialKind,
    Enqueued,
    JobState,
    QueueCounts,
    TokenRecord,
)
from scanner.web._auth import hash_of_token
from scanner.web._context import WebContext, WebhookEndpoint
from scanner.web.application import build_application


class MemoryStore:
    """``requests`` are the distinct ones queued, with their scans' ids; ``batches`` has the size of each transaction."""

    def __init__(self, **scopes):
        self.grants = {
            hash_of_token(token): token_record(token, names) for token, names in scopes.items()
        }
        self.requests = {}
        self.batches = []
        self.delivered = []
        self.broken = False

    def _check(self):
        if self.broken:
            raise StoreError("/secret/place/scanner.db", "disk full")

    async def load_token(self, token_hash):
        return self.grants.get(token_hash)

    async def tokens(self):
        return list(self.grants.values())

    async def enqueue_many(self, requests, fingerprint):
        self._check()
        self.batches.append(len(requests))
        await asyncio.sleep(0)
        keys = [(r.registry, r.repository, r.tag, r.digest) for r in requests]
        return [
            Enqueued(id=self.requests.setdefault(k, f"scan-{len(self.requests)}"), is_new=False)
            for k in keys
        ]

    async def record_deliveries(self, deliveries):
        self._check()
        self.delivered += deliveries
        return [True for _ in deliveries]

    async def queue_counts(self):
        self._check()
        return QueueCounts(counts={JobState.QUEUED: len(self.requests)}, age_seconds=1.5)


def token_record(token, scopes):
    return TokenRecord(
        id=token,
        name=f"{token}-name",
        scopes=frozenset(scopes),
        prefix=token[:4],
        created_at=datetime.now(UTC),
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )


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
        "store": MemoryStore(),
        "fingerprint": "f" * 16,
        "webhooks": {e.name: e for e in endpoints},
        "allowed_registries": ("reg.example:5000", "*.allowed.example"),
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
