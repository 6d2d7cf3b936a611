"""The application on a free port of this machine, over a real store in a directory."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import ClientSession, web
from support.sample_report import sample_report

from scanner.app_policy import read_policy
from scanner.discovery import webhook_sources
from scanner.errors import StoreError, UpstreamError
from scanner.ports import ScanRequest
from scanner.ports.webhook import Credential, CredentialKind
from scanner.service.admission import Admission, AdmissionOptions
from scanner.service.current_policy import CurrentPolicy
from scanner.service.tag_answers import TagAnswers
from scanner.service.verdicts import Verdicts
from scanner.store.queue import open_queue
from scanner.store.service import open_service_store
from scanner.web._context import WebContext, WebhookEndpoint
from scanner.web._hosts import is_allowed_host
from scanner.web._keys import DECISIONS, DELIVERIES, REQUESTS
from scanner.web._problems import MEDIA_TYPE, Problem
from scanner.web.application import build_application
from scanner.web.server import runner_of

FINGERPRINT = "0123456789abcdef"
INDEX, MAIN, CLEAN, FAILED = (f"sha256:{n * 64}" for n in "0135")
"""Digests of the sample report."""
ALLOWED = ("reg.example:5000", "*.allowed.example")
_SCOPES = {
    "cluster": ["admission"],
    "reader": ["read"],
    "asker": ["read", "scan"],
    "hook": ["webhook"],
    "boss": ["admin"],
}


def endpoint(name, dialect, kind=CredentialKind.BEARER, **more):
    host = more.pop("host", "")
    return WebhookEndpoint(
        name=name,
        source=webhook_sources()[dialect],
        credential=Credential(kind=kind, **more),
        host=host,
    )


class BrokenStore:
    """A store whose database cannot be reached."""

    def __getattr__(self, name):
        async def fail(*_args, **_more):
            raise StoreError("/secret/place/scanner.db", "disk full")

        return fail


def default_policy():
    return read_policy("default")


def no_registry(registry):
    raise UpstreamError(registry, "open", "there is none", retryable=True)


def is_allowed(registry):
    return is_allowed_host(registry, ALLOWED)


def context_of(*endpoints, store=None, policy=None, options=None, open_names=no_registry, **more):
    store = store or BrokenStore()
    judge = Verdicts(store, CurrentPolicy(policy or default_policy))
    tags = TagAnswers(open_names, kept_seconds=5.0, registry_seconds=2.0)
    chosen = AdmissionOptions(fingerprint=FINGERPRINT, is_allowed=is_allowed, **(options or {}))
    values = {
        "store": store,
        "judge": judge,
        "admission": Admission(store, judge, tags, chosen),
        "fingerprint": FINGERPRINT,
        "webhooks": {e.name: e for e in endpoints},
        "allowed_registries": ALLOWED,
    }
    return WebContext(**{**values, **more})


@asynccontextmanager
async def serving(context, application=None):
    """Yield a client whose paths are the application's."""
    application = application or build_application(context)
    runner = runner_of(application, drain_seconds=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            yield client
    finally:
        await runner.cleanup()


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    def json(self):
        return msgspec.json.decode(self.body)

    def problem(self):
        assert self.headers["Content-Type"] == MEDIA_TYPE
        found = msgspec.json.decode(self.body, type=Problem)
        assert found.status == self.status
        return found


@dataclass
class Service:
    client: ClientSession
    store: Any
    context: WebContext
    tokens: dict[str, str]
    directory: Any
    application: web.Application

    def headers(self, token="boss"):
        return {"Authorization": f"Bearer {self.tokens.get(token, token)}"} if token else {}

    async def ask(self, method, path, *, token="boss", **more):
        headers = self.headers(token) | more.pop("headers", {})
        async with self.client.request(method, path, headers=headers, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path, **more):
        return await self.ask("GET", path, **more)

    async def client_is_done(self):
        """Return once what is written behind the answers is written."""
        for batch in (
            self.application[REQUESTS],
            self.application[DELIVERIES],
            self.application[DECISIONS],
        ):
            await batch.drain()

    async def scan_sample(self, **changes):
        """Have the sample report be what a scan of its index found."""
        report = msgspec.structs.replace(
            sample_report(), reference="reg.example:5000/team/app@" + INDEX
        )
        report = msgspec.structs.replace(report, **changes)
        wanted = ScanRequest(
            registry="reg.example:5000",
            repository="team/app",
            tag="1.2",
            digest=report.digest,
            force=True,
        )
        queued = await self.store.enqueue(wanted, FINGERPRINT)
        await asyncio.to_thread(finish_next, self.directory, report)
        return queued.id


def finish_next(directory, report):
    queue = open_queue(directory)
    try:
        lease = queue.lease("worker")
        assert queue.finish(lease, report)
    finally:
        queue.close()


def lease_next(directory):
    queue = open_queue(directory)
    try:
        return queue.lease("worker")
    finally:
        queue.close()


@asynccontextmanager
async def running(directory, *endpoints, with_tokens=True, **more):
    store = await open_service_store(directory)
    try:
        tokens = {}
        for name, scopes in _SCOPES.items() if with_tokens else ():
            tokens[name] = (await store.create_token(name, scopes))[0]
        context = context_of(*endpoints, store=store, **more)
        application = build_application(context)
        async with serving(context, application) as client:
            yield Service(client, store, context, tokens, directory, application)
    finally:
        await store.close()


def run(directory, use, *endpoints, **more):
    """Return what ``use`` returns of a service that runs meanwhile."""

    async def main():
        async with running(directory, *endpoints, **more) as service:
            return await use(service)

    return asyncio.run(main())
