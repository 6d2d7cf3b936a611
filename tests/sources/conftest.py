"""Fixtures of the registry source: a real registry, two that misbehave, options, opened sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.faulty_registry import FaultyRegistry, start_faulty_registry
from support.registry_samples import APP, BACKOFF, LIMITS, NAME

from scanner.ports import SourceOptions
from scanner.sources.registry import RegistrySource, open_registry


@pytest.fixture
def server() -> Iterator[FaultyRegistry]:
    """Return a registry that serves APP until it is told otherwise."""
    with start_faulty_registry() as running:
        running.serve(APP, NAME)
        yield running


@pytest.fixture
def other() -> Iterator[FaultyRegistry]:
    """Return another host."""
    with start_faulty_registry() as running:
        yield running


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., SourceOptions]:
    """Return a maker of options: plain http to loopback is fine, and nobody's docker config is read."""
    config = tmp_path / "empty-docker-config.json"
    config.write_text("{}")

    def make(**more: object) -> SourceOptions:
        values = {
            "limits": LIMITS,
            "spool_dir": tmp_path,
            "insecure_hosts": frozenset({"127.0.0.1"}),
            "docker_config": config,
            "idle_seconds": 5.0,
        }
        return SourceOptions(**(values | more))

    return make


@pytest.fixture
def opened(
    server: FaultyRegistry, options: Callable[..., SourceOptions]
) -> Iterator[Callable[..., RegistrySource]]:
    """Return a function that opens an image of ``server``; everything is closed at the end."""
    sources: list[RegistrySource] = []

    def open_(name: str = f"{NAME}:1", **more: object) -> RegistrySource:
        source = open_registry(f"{server.host}/{name}", options(**more), backoff=BACKOFF)
        sources.append(source)
        return source

    yield open_
    for source in sources:
        source.close()
        source.close()
