"""The composition of what runs beside the answers: tag checks, reconcile, backfill."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import Callable
from typing import Final

from scanner import app
from scanner.config import Settings
from scanner.errors import InvalidReferenceError, SettingsError
from scanner.ports import ServiceStore
from scanner.service._cursor import Cursor
from scanner.service._walk import Names, OpenNames, Target, parse_target, walking
from scanner.service.backfill import BackfillCounts, Tell, backfill
from scanner.service.reconcile import ReconcileOptions, run_reconcile
from scanner.service.tags import run_tag_checks

_IDLE_SECONDS: Final = 15.0
"""Names are short: a registry that keeps us waiting for longer is asked again another time."""


def reconcile_targets(settings: Settings) -> tuple[Target, ...]:
    """Return what is to be walked.

    Raises:
        SettingsError: an entry is no registry or repository.
    """
    try:
        return tuple(map(parse_target, settings.server.reconcile))
    except InvalidReferenceError as error:
        raise SettingsError("server.reconcile", str(error)) from error


def names_opener(settings: Settings, *, idle_seconds: float = _IDLE_SECONDS) -> OpenNames:
    """Return how a registry is opened to be asked for names; one that is silent for so long is given up."""
    options = dataclasses.replace(
        app.source_options(settings, app.cache_directory(settings) / "spool"),
        idle_seconds=min(settings.limits.idle_seconds, idle_seconds),
        connect_seconds=min(settings.registry.connect_seconds, idle_seconds),
        retries_count=0,  # those who ask do the waiting
    )

    def open_(registry: str) -> Names:
        from scanner.sources._registry_names import open_names  # noqa: PLC0415 - requests and oras

        return open_names(registry, options)

    return open_


async def run_loops(
    settings: Settings, store: ServiceStore, is_allowed: Callable[[str], bool]
) -> None:
    """Check tags and reconcile registries until cancelled.

    Raises:
        SettingsError: ``server.reconcile`` is wrong.
    """
    targets = reconcile_targets(settings)
    fingerprint = await asyncio.to_thread(app.fingerprint, settings)
    open_names = names_opener(settings)
    options = ReconcileOptions(
        every_seconds=settings.server.reconcile_seconds,
        per_second=settings.server.reconcile_per_second,
    )
    async with asyncio.TaskGroup() as loops:
        loops.create_task(run_tag_checks(store, open_names, fingerprint, is_allowed=is_allowed))
        loops.create_task(
            run_reconcile(
                store, open_names, targets, fingerprint, is_allowed=is_allowed, options=options
            )
        )


async def run_backfill(
    settings: Settings,
    store: ServiceStore,
    target: Target,
    *,
    is_allowed: Callable[[str], bool],
    per_second: float,
    is_dry_run: bool,
    restart: bool,
    tell: Tell,
) -> BackfillCounts:
    """Queue what a registry or repository holds, from where an earlier run was stopped unless ``restart``.

    Raises:
        SettingsError: workers would refuse to ask that registry.
        ScannerError: the registry does not list what it holds, or something cannot be written.
    """
    if not is_allowed(target.registry):
        error = SettingsError("server.allowed_registries", f"{target.registry} is not among them")
        error.hint = f"add {target.registry} to the setting, for the service and here"
        raise error
    fingerprint = await asyncio.to_thread(app.fingerprint, settings)
    async with contextlib.AsyncExitStack() as stack:
        cursor = None
        if not is_dry_run:
            cursor = stack.enter_context(_cursor(settings, target, fingerprint, restart=restart))
        walk = await stack.enter_async_context(
            walking(names_opener(settings), target.registry, per_second=per_second)
        )
        return await backfill(store, walk, target, fingerprint, cursor=cursor, tell=tell)


def _cursor(settings: Settings, target: Target, fingerprint: str, *, restart: bool) -> Cursor:
    """Return the cursor of a target in a database; other analyzers begin anew."""
    where = hashlib.sha256(f"{app.store_location(settings)} {target}".encode()).hexdigest()[:24]
    path = app.data_directory(settings) / "backfill" / f"{where}.cursor"
    cursor = Cursor(path, f"{target} {fingerprint}")
    if restart:
        cursor.forget()
    return cursor
