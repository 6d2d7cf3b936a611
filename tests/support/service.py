"""The service without its web side, in tests: real store, queue and workers, in this process or their own."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from support.image_builder import Image, image
from support.scanning import OS_RELEASE, command, dpkg_status, environment, layer

from scanner import app, app_loops, app_service
from scanner.config import Settings, load_settings
from scanner.ports import Enqueued, ScanRecord, ScanRequest, ServiceStore
from scanner.service.worker import WorkerEnd, WorkerOptions, run_worker

T = TypeVar("T")

_WAIT_SECONDS = 60.0


def app_image(name: str) -> Image:
    """Return a small image whose one package is called ``name``, without findings."""
    return image([layer(OS_RELEASE, dpkg_status(name))], {"User": "1"})


@dataclass(frozen=True)
class Service:
    """One database and what works on it; ``home`` holds everything else."""

    where: str
    home: Path
    cache: Path
    more: dict[str, object] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        is_url = "://" in self.where
        place = {"store_url": self.where} if is_url else {"store_directory": self.where}
        chosen: dict[str, object] = {
            "store_cache_directory": self.cache,
            "registry_insecure": "127.0.0.1",
            "registry_retries_count": 0,
            "server_allowed_registries": "*",
            "server_log_format": "text",
        }
        return environment(self.home, **{**chosen, **place, **self.more})

    @property
    def settings(self) -> Settings:
        return load_settings(None, {}, self.variables)

    @property
    def fingerprint(self) -> str:
        return app.fingerprint(self.settings)

    def ask(self, use: Callable[[ServiceStore], Awaitable[T]]) -> T:
        """Return what ``use`` finds in the store."""

        async def main() -> T:
            store = await app_service.open_service_store(self.settings)
            try:
                return await use(store)
            finally:
                await store.close()

        return asyncio.run(main())

    def enqueue(self, *requests: ScanRequest) -> list[Enqueued]:
        return self.ask(lambda store: store.enqueue_many(requests, self.fingerprint))

    def push(self, reference: str, **more: Any) -> str:
        """Queue ``host/repository[:tag][@digest]``; return the scan's id."""
        named, _, digest = reference.partition("@")
        registry, _, path = named.partition("/")
        repository, _, tag = path.partition(":")
        request = ScanRequest(
            registry=registry, repository=repository, tag=tag, digest=digest, **more
        )
        return self.enqueue(request)[0].id

    def scan(self, scan_id: str) -> ScanRecord:
        found = self.ask(lambda store: store.scan(scan_id))
        assert found is not None
        return found

    def until(self, scan_id: str, *states: str) -> ScanRecord:
        """Return the scan once it is in one of these states."""
        return wait_for(lambda: self._in_state(scan_id, states))

    def _in_state(self, scan_id: str, states: Sequence[str]) -> ScanRecord | None:
        found = self.scan(scan_id)
        return found if found.state in states else None

    def hurry(self) -> None:
        """End every wait for another try."""
        self.execute("UPDATE scans SET not_before_at = 0 WHERE state = 'queued'")

    def execute(self, statement: str) -> None:
        """Change the database behind everybody's back."""
        self.rows(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what the database itself says."""
        if "://" in self.where:
            with psycopg.connect(self.where, autocommit=True) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        file = Path(self.where) / "scanner.db"
        with closing(sqlite3.connect(file, timeout=30)) as database, database:
            return database.execute(statement).fetchall()

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Run a command; return its exit code, output and errors."""
        self.home.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            command(*arguments),
            env=self.variables,
            cwd=self.home,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def work(
        self,
        scans_count: int = 1,
        *,
        stop: threading.Event | None = None,
        is_allowed: Callable[[str], bool] = lambda _host: True,
        **options: Any,
    ) -> WorkerEnd:
        """Do scans in this process."""
        settings = self.settings
        store, queue = app.open_store(settings), app_service.open_queue(settings)
        chosen = {
            "name": "here",
            "scans_count": scans_count,
            "lease_seconds": settings.queue.lease_seconds,
            "attempts_count": settings.queue.attempts_count,
            "memory_bytes": 1 << 50,
        }
        try:
            return run_worker(
                queue,
                app.build_context(settings, store),
                WorkerOptions(is_allowed=is_allowed, **(chosen | options)),
                stop or threading.Event(),
            )
        finally:
            queue.close()
            store.close()

    def worker(self, **more: object) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run ``scanner worker``; killed in the end if it still runs. See :meth:`logs`."""
        return self.start("worker", **more)

    @contextmanager
    def start(self, *arguments: object, **more: object) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command in the background."""
        self.home.mkdir(parents=True, exist_ok=True)
        number = len(list(self.home.glob("*.log")))
        variables = {f"SCANNER_{name.upper()}": str(value) for name, value in more.items()}
        with (
            (self.home / f"{number:03}.log").open("wb") as log,
            subprocess.Popen(
                command(*arguments),
                env={**self.variables, **variables},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def logs(self) -> str:
        """Return what commands in the background have written."""
        return "".join(path.read_text() for path in sorted(self.home.glob("*.log")))

    @property
    def open_names(self) -> app_loops.OpenNames:
        return app_loops.names_opener(self.settings)


def wait_for(look: Callable[[], T | None]) -> T:
    """Return what ``look`` finds as soon as that is something."""
    until = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail("it did not come", pytrace=False)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled patterns, once for all tests."""
    return tmp_path_factory.mktemp("service-cache")


@pytest.fixture
def service(tmp_path: Path, shared_cache: Path) -> Service:
    """Return a service on an empty SQLite database."""
    return Service(str(tmp_path / "store"), tmp_path / "home", shared_cache)
