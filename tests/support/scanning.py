"""Scan in tests: by the real command in a process of its own, or in this process with everything real."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.image_builder import Entry, gzip_layer, tar_layer

from scanner import app
from scanner.config import load_settings
from scanner.discovery import report_formats
from scanner.model import Platform, ScanReport
from scanner.pipeline.context import ScanContext
from scanner.pipeline.scan import scan
from scanner.ports import Progress, ReportStore, SilentProgress

REPOSITORY = Path(__file__).parents[2]
OS_RELEASE = Entry("etc/os-release", b'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')


def dpkg_status(*names: str) -> Entry:
    """Return dpkg's database with these packages, version 1.0 each."""
    text = "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n"
        for name in names
    )
    return Entry("var/lib/dpkg/status", text.encode())


def python_package(name: str, directory: str = "usr/lib/python3/dist-packages") -> list[Entry]:
    """Return the files that prove an installed Python package of version 1.0."""
    info = f"{directory}/{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    return [Entry(f"{info}/METADATA", metadata.encode()), Entry(f"{info}/RECORD", b"")]


def layer(*entries: Entry) -> bytes:
    return gzip_layer(tar_layer(entries))


_HINT = re.compile(
    r"^vulnerabilities were not looked for, as there is no advisory data: .*\n", re.MULTILINE
)


def without_hint(stderr: str) -> str:
    """Return what stands on standard error, but for the word on how to get advisories."""
    return _HINT.sub("", stderr)


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def complaints(self) -> str:
        """What stands on standard error, but for the word on how to get advisories."""
        return without_hint(self.stderr)

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.stdout)
        return report

    @property
    def image(self) -> dict[str, Any]:
        (image,) = self.report["images"]
        return dict(image)


def environment(home: Path, **settings: object) -> dict[str, str]:
    """Return an environment in which nothing of the user's is found; ``settings`` as ``limits_scan_seconds``."""
    values = {
        "HOME": home,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": REPOSITORY,
        "XDG_CONFIG_HOME": home / "config",
        "DOCKER_CONFIG": home / "docker",
        "SCANNER_STORE_DIRECTORY": home / "data",
        "SCANNER_STORE_CACHE_DIRECTORY": home / "cache",
    }
    values |= {f"SCANNER_{name.upper()}": value for name, value in settings.items()}
    return {name: str(value) for name, value in values.items()}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "scanner.cli.main", *map(str, arguments)]


def run_scan(home: Path, *arguments: object, **settings: object) -> Outcome:
    """Run ``scanner scan`` with a home of its own; nothing it writes may drive a terminal or be a traceback."""
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command("scan", *arguments),
        env=environment(home, **settings),
        cwd=home,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=120,
    )
    outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in outcome.stderr, outcome.stderr
    assert "\x1b" not in outcome.stdout + outcome.stderr
    return outcome


def scan_json(home: Path, reference: object, *arguments: object, **settings: object) -> Outcome:
    return run_scan(home, reference, "--format=json", *arguments, **settings)


@contextmanager
def opened_context(home: Path, **settings: object) -> Iterator[tuple[ScanContext, ReportStore]]:
    """Give what scans in this process need, made as the command makes it."""
    home.mkdir(parents=True, exist_ok=True)
    chosen = load_settings(None, {}, environment(home, **settings))
    store = app.open_store(chosen)
    try:
        yield app.build_context(chosen, store), store
    finally:
        store.close()


def scan_here(
    reference: object,
    context: ScanContext,
    platforms: Sequence[Platform] = (),
    *,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
) -> ScanReport:
    return scan(
        str(reference),
        platforms,
        context,
        progress or SilentProgress(),
        cancelled or threading.Event(),
    )


def json_report(report: ScanReport) -> dict[str, Any]:
    """Return a report as ``--format=json`` writes it."""
    text = io.StringIO()
    report_formats()["json"].write(report, text, False, 100)  # noqa: FBT003 - colour
    written: dict[str, Any] = json.loads(text.getvalue())
    return written


def names(image: Mapping[str, Any]) -> set[str]:
    """Return the names of an image's packages, from its JSON report."""
    return {package["name"] for package in image.get("packages", ())}


def timeless(value: Any) -> Any:
    """Return a JSON report without what may differ between two scans of the same bytes."""
    if isinstance(value, dict):
        dropped = {"started_at", "seconds", "stage_seconds", "cached"}
        return {k: timeless(v) for k, v in value.items() if k not in dropped}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def files_below(*directories: Path) -> set[str]:
    """Return every file below the directories, by path."""
    return {str(path) for one in directories for path in one.rglob("*") if not path.is_dir()}


def bytes_below(directories: Iterable[Path]) -> bytes:
    """Return the content of every file below the directories, to look for what must not be there."""
    return b"\0".join(Path(p).read_bytes() for p in sorted(files_below(*directories)))
