"""A scan context made as the command makes it, on a store of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulty_registry import FaultyRegistry, start_faulty_registry
from support.scanning import opened_context

from scanner.pipeline.context import ScanContext


@pytest.fixture(scope="session")
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache for the whole run: patterns are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def context(tmp_path: Path, cache_directory: Path) -> Iterator[ScanContext]:
    with opened_context(tmp_path / "home", store_cache_directory=cache_directory) as (made, _):
        yield made


@pytest.fixture
def server() -> Iterator[FaultyRegistry]:
    """Return an empty registry that does as it is told."""
    with start_faulty_registry() as running:
        yield running
