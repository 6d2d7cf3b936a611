"""A real ``scanner serve`` in a process of its own, with a real registry that tells it of pushes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from support.registry import RunningRegistry, free_port, start_registry
from support.scanning import Outcome, command, environment

WEBHOOK_SECRET = "webhook-" + "s3cr3t" * 4
"""What the registry shows; for tests that look for it where it must not be."""
START_SECONDS = 30.0


@dataclass
class Serving:
    """A service that listens at ``url``. Commands run with its settings, and with ``token`` to show it."""

    home: Path
    url: str
    settings: dict[str, object]
    process: subprocess.Popen[bytes]
    token: str = ""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Return the log's lines so far, of the service and its workers."""
        lines = self.log_text.splitlines()
        return [json.loads(x) for x in lines if x.startswith("{") and x.endswith("}")]

    @property
    def log_text(self) -> str:
        return (self.home / "serve.err").read_text()

    @property
    def worker_pids(self) -> list[int]:
        return [line["pid"] for line in self.log if line["event"] == "worker started"]

    def run(self, *arguments: object, token: str | None = None) -> Outcome:
        """Run another command."""
        shown = self.token if token is None else token
        return run_command(self.home, self.settings, *arguments, SCANNER_TOKEN=shown)

    def ask(self, *arguments: object, **more: Any) -> Outcome:
        """Run ``scanner query`` against the service."""
        return self.run("query", *arguments, "--server", self.url, **more)

    def get(self, path: str, *, token: str | None = None, status: int = 200) -> Any:
        """Return the JSON answer to a GET."""
        shown = self.token if token is None else token
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        with requests.get(f"{self.url}{path}", headers=headers, timeout=30) as response:
            assert response.status_code == status, response.text
            return response.json()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return how the service ended."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def run_command(
    home: Path, settings: dict[str, object], *arguments: object, **more: str
) -> Outcome:
    done = subprocess.run(
        command(*arguments),
        env=environment(home, **settings) | more,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=75,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


@contextmanager
def start_service(
    home: Path, *arguments: object, port: int = 0, **settings: object
) -> Iterator[Serving]:
    """Run a service with a token of every scope; kill it and its workers in the end."""
    home.mkdir(parents=True, exist_ok=True)
    chosen = {
        "server_listen": f"127.0.0.1:{port or free_port()}",
        "webhooks_distribution_secret": WEBHOOK_SECRET,
    } | settings
    port = int(str(chosen["server_listen"]).rpartition(":")[2])
    made = run_command(home, chosen, "token", "create", "tests", "--scope", "read,scan")
    with (home / "serve.out").open("wb") as out, (home / "serve.err").open("wb") as err:
        process = subprocess.Popen(
            command("serve", *arguments), env=environment(home, **chosen), cwd=home,
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
    service = Serving(home, f"http://127.0.0.1:{port}", chosen, process, made.stdout.strip())
    try:
        until(lambda: b"listening" in (home / "serve.out").read_bytes(), service)
        yield service
    finally:
        process.kill()
        process.wait()
        for pid in service.worker_pids:
            kill(pid)


@contextmanager
def start_both(
    directory: Path, *arguments: object, **settings: object
) -> Iterator[tuple[Serving, RunningRegistry]]:
    """Run a service and a registry that tells it of pushes."""
    port, registry_port = free_port(), free_port()
    (directory / "registry").mkdir(parents=True)
    host = f"127.0.0.1:{registry_port}"
    notify = f"http://127.0.0.1:{port}/v1/webhooks/distribution", f"Bearer {WEBHOOK_SECRET}"
    more = {"webhooks_distribution_host": host, "registry_insecure": host} | settings
    with (
        start_service(directory / "home", *arguments, port=port, **more) as service,
        start_registry(directory / "registry", port=registry_port, notify=notify) as registry,
    ):
        yield service, registry


def until(check: Any, service: Serving | None = None, seconds: float = START_SECONDS) -> Any:
    """Return what ``check`` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, service.log_text if service else "out of time"
        assert service is None or service.process.poll() is None, service.log_text
        time.sleep(0.05)
    return found


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that only waits to be counted does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
