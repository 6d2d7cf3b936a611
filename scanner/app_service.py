"""The composition root of the service: from settings to what serves, and to what works beside it.

Everything heavy is imported where it is used: the command line imports this module for its small parts too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from scanner import app, app_advisories, discovery
from scanner.config import Settings, WebhookSettings
from scanner.errors import SettingsError
from scanner.logs import set_up_logs
from scanner.ports import ServiceStore, WorkQueue
from scanner.ports.verdicts import AdmissionDesk, Judge
from scanner.ports.webhook import Credential, CredentialKind, WebhookSource
from scanner.telemetry import traced

if TYPE_CHECKING:
    from scanner.attest.private_keys import Passphrase
    from scanner.client import ClientOptions
    from scanner.service.current_policy import CurrentPolicy
    from scanner.service.worker import WorkerEnd, WorkerOptions
    from scanner.store.service import SqlServiceStore
    from scanner.web._context import WebContext, WebhookEndpoint
    from scanner.web.server import ServerOptions

_LOG: Final = logging.getLogger(__name__)
_LATE_SECONDS: Final = 120.0
"""A scan out of time ends itself, and tells what it saw; one that has not by then is given up."""
_WORKER_HEAD_SECONDS: Final = 5.0
"""Workers must be done that much before the service, which waits for them, gives up."""


# Stores


async def open_service_store(settings: Settings) -> SqlServiceStore:
    """Open the database for the service, making the embedded one first if need be; raises ``StoreError``."""
    from scanner.store.service import open_service_store as open_database  # noqa: PLC0415

    return await open_database(app.store_location(settings))


def open_queue(settings: Settings) -> WorkQueue:
    """Open the database for a worker; raises ``StoreError``."""
    from scanner.store.queue import open_queue as open_database  # noqa: PLC0415

    queue = settings.queue
    return open_database(
        app.store_location(settings),
        lease_seconds=queue.lease_seconds,
        attempts_count=queue.attempts_count,
        registry_parallel=queue.registry_parallel,
        scan_seconds=settings.limits.scan_seconds + _LATE_SECONDS,
    )


def shown_location(settings: Settings) -> str:
    """Return what the database is called where others see it: without a password."""
    from scanner.store._backend import parse_where  # noqa: PLC0415

    return parse_where(app.store_location(settings)).shown


def backup(
    settings: Settings, target: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Copy the embedded database to a new file while everything runs; raises ``StoreError``."""
    from scanner.store.backup import backup as copy  # noqa: PLC0415

    copy(app.store_location(settings), target, progress)


def collect(settings: Settings) -> dict[str, int]:
    """Let go of what is kept no longer; return how many rows of which table went. Raises ``StoreError``."""
    from scanner.store.retention import collect as collect_from  # noqa: PLC0415

    kept = settings.retention
    return collect_from(
        app.store_location(settings),
        scans_days=kept.scans_days,
        images_days=kept.images_days,
        deliveries_days=kept.deliveries_days,
        decisions_days=kept.decisions_days,
    )


# Who may be asked, and secrets


def allowed_registries(settings: Settings) -> tuple[str, ...]:
    """Return the registries that somebody else's word may send us to; those we walk ourselves, too.

    Raises:
        SettingsError: ``server.reconcile`` is wrong.
    """
    from scanner.app_loops import reconcile_targets  # noqa: PLC0415 - the scan engine

    fixed = (w.host for w in settings.webhooks.values() if w.host)
    walked = (target.registry for target in reconcile_targets(settings))
    return tuple(dict.fromkeys((*settings.server.allowed_registries, *fixed, *walked)))


def check_credentials(settings: Settings) -> None:
    """Return if no registry is shown what is another's.

    Raises:
        SettingsError: one user and password for several registries.
    """
    allowed = allowed_registries(settings)
    if settings.registry.username and (len(allowed) > 1 or any("*" in one for one in allowed)):
        reason = f"every registry that may be asked would be shown it: {', '.join(allowed)}"
        error = SettingsError("registry.username", reason)
        error.hint = "give each registry its own in a docker config: registry.docker_config"
        raise error


def registry_check(settings: Settings) -> Callable[[str], bool]:
    """Return the function that says whether ``host[:port]`` is one of :func:`allowed_registries`."""
    from scanner.web._hosts import is_allowed_host  # noqa: PLC0415

    allowed = allowed_registries(settings)
    return lambda host: is_allowed_host(host, allowed)


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


def webhook_secret(name: str, webhook: WebhookSettings) -> str:
    """Return what is shared with a sender, empty if nothing is; raises ``SettingsError``."""
    if webhook.secret or not webhook.secret_file:
        return webhook.secret
    return read_secret(webhook.secret_file, f"webhooks.{name}.secret_file")


def set_up_service_logs(settings: Settings) -> None:
    """Log to standard error, with every secret that settings hold taken out; raises ``SettingsError``."""
    secrets = [webhook_secret(name, one) for name, one in settings.webhooks.items()]
    secrets += [settings.registry.password, settings.client.token]
    secrets.append(unquote(urlsplit(settings.store.url).password or ""))
    server = settings.server
    set_up_logs(level=server.log_level, form=server.log_format, secrets=secrets)


# The web application


def open_policy(settings: Settings) -> CurrentPolicy:
    """Return the policy of ``policy.file``, or the built-in one; raises ``SettingsError``."""
    from scanner import app_policy  # noqa: PLC0415 - the expression engine
    from scanner.service.current_policy import CurrentPolicy  # noqa: PLC0415

    file = settings.policy.file
    return CurrentPolicy(
        lambda: app_policy.read_policy(file), lambda policy: app_policy.stamp_of(file, policy)
    )


def build_web_context(
    settings: Settings, store: ServiceStore, judge: Judge, admission: AdmissionDesk
) -> WebContext:
    """Return what the web application needs.

    Raises:
        SettingsError: a webhook, a rule file or a secret's file is wrong.
    """
    from scanner.web._context import WebContext  # noqa: PLC0415 - aiohttp

    server = settings.server
    return WebContext(
        store=store,
        judge=judge,
        admission=admission,
        client_names=server.client_names,
        fingerprint=app.fingerprint(settings),
        webhooks={name: _endpoint(name, one) for name, one in settings.webhooks.items()},
        allowed_registries=allowed_registries(settings),
        body_bytes=server.body_bytes,
        public_url=server.public_url.rstrip("/"),
        is_open=server.open,
    )


def _endpoint(name: str, webhook: WebhookSettings) -> WebhookEndpoint:
    from scanner.web._context import WebhookEndpoint  # noqa: PLC0415 - aiohttp

    source = discovery.webhook_sources().get(webhook.dialect or name)
    if source is None:
        known = ", ".join(discovery.webhook_sources())
        raise SettingsError(f"webhooks.{name}.dialect", f"expected one of {known}")
    credential = Credential(
        kind=CredentialKind(webhook.auth),
        secret=webhook_secret(name, webhook),
        username=webhook.username,
        header=webhook.header.lower(),
        audience=webhook.audience,
        emails=frozenset(webhook.emails),
    )
    if (missing := _missing(credential, source)) is not None:
        setting, reason = missing
        raise SettingsError(f"webhooks.{name}.{setting}", reason)
    return WebhookEndpoint(
        name=name, source=source, credential=credential, host=webhook.host.lower()
    )


def _missing(credential: Credential, source: WebhookSource) -> tuple[str, str] | None:
    """Return the setting without which no sender could ever be right, and why; None if there is none."""
    kind = credential.kind
    if kind is CredentialKind.SIGNATURE and source.signature is None:
        return "auth", f"{source.name} does not sign what it sends"
    if kind is CredentialKind.HEADER and not credential.header:
        return "header", "needed where auth is header: its name"
    if kind is CredentialKind.OIDC:
        needed = credential.audience and credential.emails
        return None if needed else ("audience", "needed where auth is oidc, and emails too")
    # A bearer may show a token of ours instead.
    if kind in {CredentialKind.NONE, CredentialKind.BEARER} or credential.secret:
        return None
    return "secret", f"needed where auth is {kind.value}; or secret_file"


def server_options(settings: Settings, worker_command: Sequence[str]) -> ServerOptions:
    """Return where the service listens, and the workers it runs; raises ``SettingsError``."""
    from scanner.web.server import ServerOptions, parse_listen  # noqa: PLC0415 - aiohttp

    server = settings.server
    host, port = parse_listen(server.listen)
    if bool(server.tls_certificate) != bool(server.tls_key):
        raise SettingsError("server.tls_key", "certificate and key belong together: give both")
    if server.client_ca and not server.tls_key:
        raise SettingsError("server.client_ca", "client certificates need server.tls_certificate")
    return ServerOptions(
        host=host,
        port=port,
        certificate=Path(server.tls_certificate).expanduser() if server.tls_certificate else None,
        key=Path(server.tls_key).expanduser() if server.tls_key else None,
        client_ca=Path(server.client_ca).expanduser() if server.client_ca else None,
        worker_command=worker_command,
        workers_count=server.workers,
        drain_seconds=server.drain_seconds,
    )


async def check_openness(settings: Settings, host: str, store: ServiceStore) -> None:
    """Return if it does no harm to listen at ``host``: this machine alone, or with a token to ask for.

    Raises:
        SettingsError: anybody could ask, or nobody.
    """
    from scanner.client import is_loopback  # noqa: PLC0415 - requests

    if is_loopback(host):
        return
    if settings.server.open:
        reason = f"answers without a token are for this machine alone, not for {host}"
        raise SettingsError("server.open", reason)
    if not any(token.revoked_at is None for token in await store.tokens()):
        error = SettingsError("server.listen", f"{host} is open to others, and there is no token")
        error.hint = "make one first: scanner token create NAME --scope read,scan"
        raise error


async def serve(
    settings: Settings,
    worker_command: Sequence[str],
    passphrase: Passphrase,
    *,
    on_listening: Callable[[int], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; the loops that nobody asks for run beside it.

    ``passphrase`` is asked for where the signing key is encrypted.

    Raises:
        SettingsError, SigningKeyError, StoreError: it cannot begin.
    """
    from scanner.app_admission import open_admission  # noqa: PLC0415
    from scanner.app_attest import open_service_signer, run_attesting  # noqa: PLC0415
    from scanner.app_loops import reconcile_targets, run_loops  # noqa: PLC0415
    from scanner.service.retention import run_retention  # noqa: PLC0415
    from scanner.service.verdicts import Verdicts  # noqa: PLC0415
    from scanner.web.server import serve as serve_http  # noqa: PLC0415 - aiohttp

    options = server_options(settings, worker_command)
    reconcile_targets(settings)
    check_credentials(settings)
    signer = open_service_signer(settings, passphrase)
    store = await open_service_store(settings)
    try:
        await check_openness(settings, options.host, store)
        policy = open_policy(settings)
        judge = Verdicts(store, policy)
        admission, tags = open_admission(settings, store, judge, registry_check(settings))
        context = build_web_context(settings, store, judge, admission)
        if not context.allowed_registries:
            _LOG.warning("no registry may be scanned: see server.allowed_registries")
        every_seconds = settings.retention.every_seconds
        loops = [
            asyncio.create_task(policy.watch()),
            asyncio.create_task(run_loops(settings, store, registry_check(settings))),
            asyncio.create_task(
                run_retention(lambda: collect(settings), every_seconds=every_seconds)
            ),
        ]
        if signer is not None:
            attesting = run_attesting(
                settings,
                store,
                signer,
                lambda: policy.policy,
                is_allowed=registry_check(settings),
                tell_signed=lambda outcome: context.metrics.signings.labels(outcome).inc(),
                tell_published=lambda state: context.metrics.publications.labels(state).inc(),
            )
            loops.append(asyncio.create_task(attesting))
        for loop in loops:
            loop.add_done_callback(_tell_end)
        try:
            await serve_http(context, options, on_listening=on_listening)
        finally:
            for loop in loops:
                loop.cancel()
            tags.close()
            await asyncio.gather(*loops, return_exceptions=True)
    finally:
        await store.close()


def _tell_end(loop: asyncio.Task[None]) -> None:
    """Log a defect that ended a loop: answers and scans go on without it."""
    if not loop.cancelled() and (error := loop.exception()) is not None:
        _LOG.error("a loop ended", exc_info=error)


# Workers


def worker_options(settings: Settings) -> WorkerOptions:
    """Return how this process works."""
    from scanner.service.worker import WorkerOptions  # noqa: PLC0415 - the scan engine

    drain_seconds = settings.server.drain_seconds
    return WorkerOptions(
        name=f"{socket.gethostname()}/{os.getpid()}"[-128:],
        is_allowed=registry_check(settings),
        lease_seconds=settings.queue.lease_seconds,
        attempts_count=settings.queue.attempts_count,
        drain_seconds=max(drain_seconds - _WORKER_HEAD_SECONDS, drain_seconds / 2),
    )


def work(settings: Settings, stop: threading.Event) -> WorkerEnd:
    """Do queued scans until ``stop`` is set or the process is used up.

    Raises:
        SettingsError, StoreError: it cannot begin.
    """
    from scanner.service.worker import run_worker  # noqa: PLC0415 - the scan engine

    check_credentials(settings)
    store = app.open_store(settings)
    queue = traced(open_queue(settings), os.environ)
    try:
        context = app.build_context(settings, store, app_advisories.matching(settings))
        _ = context.layer_scanner  # now, not when the first image waits for it
        return run_worker(queue, context, worker_options(settings), stop)
    finally:
        queue.close()
        store.close()


# Clients


def client_options(
    settings: Settings, environment: Mapping[str, str] | None = None
) -> ClientOptions:
    """Return how the server that ``client.url`` names is spoken to.

    Raises:
        SettingsError: the token's file cannot be read.
    """
    from scanner.client import ClientOptions  # noqa: PLC0415 - requests costs 0.1 s to import

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
