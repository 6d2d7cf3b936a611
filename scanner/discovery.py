"""Find plug-ins by walking their packages: adding a leaf edits no list."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from scanner import __version__
from scanner.ports.analyzer import (
    Analyzer,
    EntryAnalyzer,
    FileAnalyzer,
    ImageAnalyzer,
    PatternAnalyzer,
)
from scanner.ports.limits import Limits
from scanner.ports.report import ReportFormat
from scanner.ports.source import SourceFactory

if TYPE_CHECKING:  # a scan needs none of them, and each costs its start some milliseconds
    from scanner.ports.admission import AdmissionProtocol
    from scanner.ports.attest import Predicate
    from scanner.ports.control import Control
    from scanner.ports.feed import Feed
    from scanner.ports.version import VersionScheme
    from scanner.ports.webhook import WebhookSource

_ANALYZER_PACKAGES = (
    "scanner.analyzers.packages",
    "scanner.analyzers.secrets",
    "scanner.analyzers.crypto",
    "scanner.analyzers.config",
)
_ENGINE_VERSION = 2
"""Rises when the engine (not an analyzer) would give another layer report for the same bytes."""

_ANALYZERS_STAND_ON = ("analyzers", "layers", "model", "ports")
"""Beside the modules of ``scanner`` itself; the import contracts let them use no other package."""

_ANALYZER_KINDS: tuple[type[object], ...] = (
    FileAnalyzer,
    PatternAnalyzer,
    EntryAnalyzer,
    ImageAnalyzer,
)

T = TypeVar("T")


def _exports(package: str, name: str, *kinds: type[T]) -> list[T]:
    """Return ``name`` of every module in ``package`` that does not start with an underscore, by module name."""
    found: list[T] = []
    root = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(root.__path__), key=lambda i: i.name):
        if info.name.startswith("_") or info.ispkg:
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        value = getattr(module, name, None)
        values = value if isinstance(value, tuple) else (value,)
        for one in values:
            if not isinstance(one, kinds):
                message = f"{module.__name__}.{name}: {one!r} is not one of {kinds}"
                raise TypeError(message)
            found.append(one)
    return found


@cache
def analyzers() -> tuple[Analyzer, ...]:
    """Return every analyzer, sorted by name.

    Raises:
        TypeError: a leaf without ``ANALYZERS``, or two analyzers of one name.
    """
    found: list[Analyzer] = []
    for package in _ANALYZER_PACKAGES:
        found += cast("list[Analyzer]", _exports(package, "ANALYZERS", *_ANALYZER_KINDS))
    found.sort(key=lambda a: a.name)
    names = [a.name for a in found]
    if len(set(names)) != len(names):
        message = f"analyzers with the same name: {sorted(n for n in names if names.count(n) > 1)}"
        raise TypeError(message)
    return tuple(found)


@cache
def report_formats() -> dict[str, ReportFormat]:
    """Return every report format by name."""
    return {f.name: f for f in _exports("scanner.reports", "FORMAT", ReportFormat)}


@cache
def source_factories() -> tuple[SourceFactory, ...]:
    """Return every source factory in the order in which they are asked."""
    return tuple(
        sorted(_exports("scanner.sources", "SOURCE", SourceFactory), key=lambda s: s.order)
    )


@cache
def webhook_sources() -> dict[str, WebhookSource]:
    """Return every webhook source by name, which is the last part of its path, ``/v1/webhooks/{name}``."""
    from scanner.ports.webhook import WebhookSource  # noqa: PLC0415 - as above

    return {s.name: s for s in _exports("scanner.webhooks", "SOURCE", WebhookSource)}


@cache
def admission_protocols() -> dict[str, AdmissionProtocol]:
    """Return every admission protocol by name, which is the last part of its path, ``/v1/admission/{name}``."""
    from scanner.ports.admission import AdmissionProtocol  # noqa: PLC0415 - as above

    return {p.name: p for p in _exports("scanner.admission", "PROTOCOL", AdmissionProtocol)}


@cache
def predicates() -> dict[str, Predicate]:
    """Return every predicate by name."""
    from scanner.ports.attest import Predicate  # noqa: PLC0415 - as above

    return {p.name: p for p in _exports("scanner.attest.predicates", "PREDICATE", Predicate)}


@cache
def pod_controls() -> tuple[Control, ...]:
    """Return every check of a pod, sorted by name."""
    from scanner.ports.control import Control  # noqa: PLC0415 - as above

    controls = _exports("scanner.pod_security.controls", "CONTROL", Control)
    return tuple(sorted(controls, key=lambda c: c.name.lower()))


@cache
def version_schemes() -> dict[str, VersionScheme]:
    """Return the version scheme of each purl type that has one."""
    from scanner.ports.version import VersionScheme  # noqa: PLC0415 - as above

    schemes = _exports("scanner.matching.versions", "SCHEME", VersionScheme)
    return {purl_type: s for s in schemes for purl_type in s.purl_types}


@cache
def feeds() -> dict[str, Feed]:
    """Return every feed of advisories by name."""
    from scanner.ports.feed import Feed  # noqa: PLC0415 - as above

    return {f.name: f for f in _exports("scanner.advisories.feeds", "FEED", Feed)}


def code_stamp() -> str:
    """Return a digest that changes whenever code or rules that analyzers stand on do, without importing any of it."""
    root = Path(__file__).parent
    state = hashlib.sha256(__version__.encode())
    paths = [
        *root.iterdir(),
        *(p for name in _ANALYZERS_STAND_ON for p in (root / name).rglob("*")),
    ]
    for path in sorted(paths):
        if path.suffix in {".py", ".toml"}:
            about = path.stat()
            state.update(f"\0{path.relative_to(root)} {about.st_mtime_ns} {about.st_size}".encode())
    return state.hexdigest()


def fingerprint_of_analyzers(chosen: tuple[Analyzer, ...], limits: Limits) -> str:
    """Return 16 hex digits that change whenever a report for the same bytes could change."""
    state = hashlib.sha256(f"engine {_ENGINE_VERSION} {limits!r}".encode())
    for one in chosen:
        revision = getattr(one, "revision", "")
        state.update(f"\0{one.name} {one.version} {revision}".encode())
    return state.hexdigest()[:16]
