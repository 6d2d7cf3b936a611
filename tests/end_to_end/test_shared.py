"""Ten processes scan ten images that share layers, at once, over one store that none of them has yet."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.image_builder import Entry, image, tar_layer, write_oci_layout, zstd_layer
from support.scanning import (
    OS_RELEASE,
    command,
    dpkg_status,
    environment,
    json_report,
    opened_context,
    python_package,
    scan_here,
    timeless,
    without_hint,
)

SCANS_COUNT = 10
NOISE = random.Random(3).randbytes(1024 * 1024) * 8


def slow_layer(*entries: Entry, name: str) -> bytes:
    """Return a layer that takes a while to read."""
    return zstd_layer(tar_layer([*entries, Entry(f"noise/{name}", NOISE)]))


BASE = slow_layer(OS_RELEASE, dpkg_status("base"), name="base")
PAIRS = [slow_layer(*python_package(f"pair{n}"), name=f"pair{n}") for n in range(SCANS_COUNT // 2)]
OWN = [zstd_layer(tar_layer(python_package(f"own{n}"))) for n in range(SCANS_COUNT)]
IMAGES = {f"i{n}": image([BASE, PAIRS[n // 2], OWN[n]], {"User": "1"}) for n in range(SCANS_COUNT)}


@dataclass(frozen=True)
class Ended:
    """How a scan ended."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Path:
    return write_oci_layout(IMAGES, tmp_path_factory.mktemp("shared") / "layout")


@pytest.fixture(scope="module")
def ended(layout) -> list[Ended]:
    home = layout.parent / "home"
    home.mkdir()
    processes = [
        subprocess.Popen(
            command("scan", f"oci:{layout}:{name}", "--format=json"),
            env=environment(home), cwd=home, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for name in IMAGES
    ]  # fmt: skip
    texts = [process.communicate(timeout=120) for process in processes]
    return [Ended(p.returncode, *text) for p, text in zip(processes, texts, strict=True)]


def test_none_fails(ended):
    assert [(one.code, without_hint(one.stderr)) for one in ended] == [(0, "")] * SCANS_COUNT


def test_each_layer_is_read_once(ended):
    layers = [layer for one in ended for layer in json.loads(one.stdout)["images"][0]["layers"]]
    read = Counter(layer["digest"] for layer in layers if not layer.get("cached"))
    assert len(layers) == 3 * SCANS_COUNT
    assert read == Counter({layer["digest"] for layer in layers})
    assert len(read) == 1 + len(PAIRS) + len(OWN)


def test_reports_are_those_of_stores_of_their_own(ended, layout, tmp_path):
    def alone(name: str) -> Any:
        cache = tmp_path / "cache"
        with opened_context(tmp_path / name, store_cache_directory=cache) as (context, _):
            return json_report(scan_here(f"oci:{layout}:{name}", context))

    reports = [timeless(json.loads(one.stdout)) for one in ended]
    assert reports == [timeless(alone(name)) for name in IMAGES]


def test_no_claim_is_left(ended, layout):
    assert len(ended) == SCANS_COUNT
    assert list((layout.parent / "home/data/locks").iterdir()) == []
