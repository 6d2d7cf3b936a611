"""Kill real scans at random moments: what is left is harmless, goes away, and changes no later report."""

from __future__ import annotations

import random
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from support.image_builder import Entry, image, tar_layer, write_oci_layout, zstd_layer
from support.scanning import (
    OS_RELEASE,
    command,
    dpkg_status,
    environment,
    files_below,
    json_report,
    names,
    opened_context,
    python_package,
    scan_here,
    scan_json,
    timeless,
)

KILLS_COUNT = 50
AT_ONCE = 5
SETTINGS = {"limits_memory_file_bytes": 16 * 1024}
SPOOLED = dpkg_status(*(f"base{n}" for n in range(1_000)))
RANDOM = random.Random(7)


def noise(mib: int) -> bytes:
    """Return bytes that take long to read and little to store."""
    return RANDOM.randbytes(1024 * 1024) * mib


BASE = zstd_layer(tar_layer([OS_RELEASE, SPOOLED, Entry("noise", noise(8))]))


def small_image(number: int):
    """Return an image with a layer that all have, one that five have, and two of its own."""
    group = number // 5
    layers = [
        [*python_package(f"group{group}"), Entry(f"group/{group}", b"group" * 1_000)],
        [*python_package(f"one{number}"), Entry(f"noise{number}", noise(2))],
        [Entry(f"root/{number}/.npmrc", b"registry=https://registry.example/\n")],
    ]
    return image([BASE, *(zstd_layer(tar_layer(entries)) for entries in layers)], {"User": "1"})


@dataclass(frozen=True)
class Killed:
    """A place where scans were killed."""

    home: Path
    references: list[str]
    codes: list[int]
    stderr: str
    """Of all of them; with the stack of every thread where one crashed by itself."""


def killed_together(home: Path, scans: list[tuple[str, float]], stderr: IO[bytes]) -> list[int]:
    """Start scans at once, kill each so many seconds later; return their exit codes."""
    processes = [
        subprocess.Popen(
            command("scan", reference, "--format=json"),
            env=environment(home, **SETTINGS) | {"PYTHONFAULTHANDLER": "1"}, cwd=home,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
        )
        for reference, _ in scans
    ]  # fmt: skip
    began = time.monotonic()
    for process, (_, seconds) in sorted(zip(processes, scans, strict=True), key=lambda p: p[1][1]):
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, began + seconds - time.monotonic()))
        process.kill()
    return [process.wait() for process in processes]


def file_names(home: Path) -> list[str]:
    return sorted(str(Path(p).relative_to(home)) for p in files_below(home))


def forget_cache(home: Path) -> None:
    """Remove what spares a scan its first steps, so that these too are killed."""
    for path in (home / "cache").iterdir() if (home / "cache").is_dir() else ():
        if path.is_file() and path.suffix != ".tmp":
            path.unlink()


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Killed:
    directory = tmp_path_factory.mktemp("kill")
    layout = write_oci_layout(
        {f"i{n}": small_image(n) for n in range(KILLS_COUNT + 1)}, directory / "layout"
    )
    references = [f"oci:{layout}:i{n}" for n in range(KILLS_COUNT + 1)]
    began = time.monotonic()
    scan_json(directory / "measured", references.pop(), **SETTINGS)
    longest_seconds = (time.monotonic() - began) * AT_ONCE / 2
    moments = [(n + RANDOM.random()) * longest_seconds / KILLS_COUNT for n in range(KILLS_COUNT)]
    scans = list(zip(references, moments, strict=True))
    rounds = [scans[start : start + AT_ONCE] for start in range(0, KILLS_COUNT, AT_ONCE)]
    RANDOM.shuffle(rounds)
    home = directory / "home"
    home.mkdir()
    codes = []
    told = directory / "stderr"
    for number, one in enumerate(rounds):
        with told.open("ab") as stderr:
            codes += killed_together(home, one, stderr)
        if number % 2:
            forget_cache(home)
    return Killed(home, references, codes, told.read_text())


def test_they_were_killed(killed):
    assert set(killed.codes) <= {-signal.SIGKILL, 0}, killed.stderr
    assert killed.codes.count(-signal.SIGKILL) > KILLS_COUNT // 2


def test_the_next_scan_is_right_and_tidies_up(killed, tmp_path):
    reference = killed.references[0]
    after = scan_json(killed.home, reference, **SETTINGS)
    fresh = scan_json(tmp_path / "fresh", reference, **SETTINGS)
    assert (after.code, after.complaints) == (0, "")
    assert timeless(after.report) == timeless(fresh.report)
    assert {"base0", "base999", "group0", "one0"} <= names(after.image)
    left, usual = (file_names(home) for home in (killed.home, tmp_path / "fresh"))
    # Which advisories were missed, of packages of all that was scanned: not of this image alone.
    left = [name for name in left if not name.endswith(".wanted")]
    usual = [name for name in usual if not name.endswith(".wanted")]
    assert left == usual
    assert [re.sub(r"-[0-9a-f]{24}", "", name) for name in usual] == [
        "cache/fingerprint", "cache/patterns.hsdb", "data/scanner.db",
    ]  # fmt: skip


def test_the_store_is_whole(killed):
    with closing(sqlite3.connect(killed.home / "data/scanner.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_every_later_report_is_that_of_a_fresh_store(killed, tmp_path):
    def reports(home: Path) -> list[object]:
        with opened_context(home, **SETTINGS) as (context, _):
            return [
                timeless(json_report(scan_here(one, context))) for one in killed.references[::3]
            ]

    assert reports(killed.home) == reports(tmp_path / "fresh")
