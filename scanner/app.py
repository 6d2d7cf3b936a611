"""The composition root: from settings to the objects that scan. Nothing else reads settings."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from scanner import discovery
from scanner.config import Settings
from scanner.errors import SettingsError, StoreError
from scanner.layers.cache_files import remove_abandoned, save
from scanner.pipeline.context import ScanContext
from scanner.pipeline.match import Matching
from scanner.ports import Analyzer, ReportStore, SourceOptions
from scanner.sources._registry_proxy import read_proxies

_FINGERPRINT_CHARS: Final = 16
_M_ARENA_MAX: Final = -8
_ADVISORIES: Final = "advisories"


def data_directory(settings: Settings, environment: Mapping[str, str] | None = None) -> Path:
    """Return where the database lives."""
    return _directory(
        settings.store.directory,
        "XDG_DATA_HOME",
        ".local/share",
        os.environ if environment is None else environment,
    )


def cache_directory(settings: Settings, environment: Mapping[str, str] | None = None) -> Path:
    """Return where compiled patterns and spool files live."""
    return _directory(
        settings.store.cache_directory,
        "XDG_CACHE_HOME",
        ".cache",
        os.environ if environment is None else environment,
    )


def _directory(chosen: str, variable: str, below_home: str, environment: Mapping[str, str]) -> Path:
    if chosen:
        return Path(chosen).expanduser()
    base = environment.get(variable)
    return (Path(base) if base else Path.home() / below_home) / "scanner"


def build_analyzers(settings: Settings) -> tuple[Analyzer, ...]:
    """Return every analyzer, the user's own secret rules included.

    Raises:
        SettingsError: a rule file is wrong.
    """
    found = discovery.analyzers()
    if not settings.scan.secret_rules:
        return found
    from scanner.analyzers.secrets import engine  # noqa: PLC0415 - part of what plug-ins cost

    paths = [Path(p).expanduser() for p in settings.scan.secret_rules]
    rules = [rule for path in paths for rule in engine.load_rules(path)]
    revision = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    return (*found, engine.analyzer_of(rules, name="secret/own-rules", revision=revision))


def source_options(settings: Settings, spool_dir: Path) -> SourceOptions:
    """Return what sources need, as plain values."""
    registry = settings.registry
    return SourceOptions(
        limits=settings.limits,
        spool_dir=spool_dir,
        insecure_hosts=frozenset(registry.insecure),
        ca_file=Path(registry.ca_file).expanduser() if registry.ca_file else None,
        username=registry.username,
        password=registry.password,
        docker_config=Path(registry.docker_config).expanduser() if registry.docker_config else None,
        offline=settings.scan.offline,
        allowed_realm_hosts=frozenset(registry.token_hosts),
        connect_seconds=registry.connect_seconds,
        idle_seconds=settings.limits.idle_seconds,
        retries_count=registry.retries_count,
        proxies=read_proxies(os.environ),
    )


def store_location(settings: Settings) -> str | Path:
    """Return what the store's functions are to open: the database's URL, or the embedded one's directory."""
    return settings.store.url or data_directory(settings)


def open_store(settings: Settings) -> ReportStore:
    """Open the database, making the embedded one first if need be; raises ``StoreError``."""
    from scanner.store import open_store as open_database  # noqa: PLC0415 - costs 0.2 s to import

    return open_database(store_location(settings))


def advisories_directory(settings: Settings) -> Path:
    """Return where the databases of advisories are."""
    chosen = settings.advisories.directory
    return Path(chosen).expanduser() if chosen else data_directory(settings) / _ADVISORIES


def build_context(
    settings: Settings, store: ReportStore, matching: Matching | None = None
) -> ScanContext:
    """Return what scans need.

    Raises:
        SettingsError: a rule file, CA file or directory is wrong.
        StoreError: the cache directory cannot be made.
    """
    if settings.registry.ca_file and not Path(settings.registry.ca_file).expanduser().is_file():
        raise SettingsError("registry.ca_file", f"{settings.registry.ca_file} is not a file")
    cache_dir = cache_directory(settings)
    spool_dir = cache_dir / "spool"
    try:
        spool_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(str(spool_dir), error.strerror or "cannot be made") from error
    remove_abandoned(cache_dir)

    @cache
    def load_analyzers() -> tuple[Analyzer, ...]:
        _bound_arenas()
        return build_analyzers(settings)

    return ScanContext(
        store=store,
        load_analyzers=load_analyzers,
        fingerprint=_fingerprint(settings, cache_dir, load_analyzers),
        sources=discovery.source_factories(),
        source_options=source_options(settings, spool_dir),
        limits=settings.limits,
        cache_dir=cache_dir,
        mime=mime_type,
        layers_parallel=settings.scan.layers_parallel,
        matching=matching,
    )


def fingerprint(settings: Settings) -> str:
    """Return the fingerprint of today's analyzers, rules and limits; raises ``SettingsError``."""
    return _fingerprint(settings, cache_directory(settings), lambda: build_analyzers(settings))


def _bound_arenas() -> None:
    """Let glibc keep one heap for all threads: a heap each, full of holes, costs 50 MB on a large image."""
    import ctypes  # noqa: PLC0415

    with contextlib.suppress(OSError, AttributeError):  # another C library has no arenas to bound
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _fingerprint(
    settings: Settings, cache_dir: Path, load_analyzers: Callable[[], tuple[Analyzer, ...]]
) -> str:
    """Return the analyzers' fingerprint; kept beside a stamp of our code, as loading them costs 0.1 s."""
    state = hashlib.sha256(f"{discovery.code_stamp()} {settings.limits!r}".encode())
    for path in settings.scan.secret_rules:
        with contextlib.suppress(OSError):  # told with its reason when the analyzers are built
            state.update(Path(path).expanduser().read_bytes())
    kept = cache_dir / f"fingerprint-{state.hexdigest()[:24]}"
    with contextlib.suppress(OSError):
        text = kept.read_text(encoding="ascii", errors="replace")
        if len(text) == _FINGERPRINT_CHARS and text.isalnum():
            return text
    fingerprint = discovery.fingerprint_of_analyzers(load_analyzers(), settings.limits)
    save(kept, fingerprint.encode("ascii"))
    return fingerprint


def mime_type(head: bytes) -> str:
    """Return the media type libmagic gives the first bytes of a file."""
    import magic  # noqa: PLC0415 - loads libmagic and its database: only for files with a hit

    try:
        return str(magic.from_buffer(head, mime=True))
    except magic.MagicException:
        return "application/octet-stream"
