"""A real PostgreSQL: one server for a test session (per worker), one empty database for each test.

Every test may ask for the fixtures. ``where`` runs a test on both databases.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest
from support.registry import free_port

_INSTALLED = Path("/usr/lib/postgresql")
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")
_PASSWORD = "pg" + "word"
_numbers = count()


@dataclass(frozen=True)
class RunningPostgresql:
    """A server that listens on ``127.0.0.1:port`` and on a socket in ``directory``; asks no password."""

    port: int
    directory: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """By the socket: without a host before the path, and with a query."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.directory), safe='')}&port={self.port}"

    def execute(self, database: str, statement: str) -> list[tuple]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of an empty database; it is dropped in the end, whoever is still connected."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")


def _program(name: str) -> str:
    """Return the newest installed one; skip without it, but not in CI."""
    newest = max(
        _INSTALLED.glob(f"*/bin/{name}"), key=lambda p: float(p.parts[-3]), default=None
    )  # Debian keeps them out of PATH
    found = str(newest) if newest else shutil.which(name)
    if found is None:
        message = "PostgreSQL is missing: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return found


def _run(*command: str, user: str | None) -> None:
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-2000:]}", pytrace=False)


def _user() -> str | None:
    """Return whom to run it as: it refuses to run as root."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def start_postgresql() -> Iterator[RunningPostgresql]:
    """Run a server with its data in a temporary directory; skip without the programs, but not in CI."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    user = _user()
    # Not below pytest's directory: that is closed to other users, and a socket's path has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pg-") as place:
        directory = Path(place)
        if user is not None:
            shutil.chown(directory, user)
        data, port = directory / "data", free_port()
        _run(initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8",
             "--locale=C", user=user)  # fmt: skip
        options = [f"-p {port} -h 127.0.0.1 -k {directory}", *(f"-c {o}" for o in _FAST)]
        base = (control, "-D", str(data), "-w", "-l", str(directory / "log"))
        _run(*base, "-o", " ".join(options), "start", user=user)
        try:
            yield RunningPostgresql(port, directory)
        finally:
            _run(*base, "-m", "immediate", "stop", user=user)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[RunningPostgresql]:
    with start_postgresql() as running:
        yield running


@pytest.fixture
def postgresql_url(postgresql: RunningPostgresql) -> Iterator[str]:
    """An empty database."""
    with postgresql.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be opened: an empty place, on each database in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    return str(request.getfixturevalue("postgresql_url"))
