"""Open local sources in tests and read them to the end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scanner.model import Manifest
from scanner.ports import BlobStream, ImageSource, Limits, SourceOptions
from scanner.sources._documents import parse_manifest


def options(tmp_path: Path, **limits: int) -> SourceOptions:
    return SourceOptions(limits=Limits(**limits), spool_dir=tmp_path / "spool")


def read_all(stream: BlobStream, step: int = 65_536) -> bytes:
    parts = []
    while data := stream.read(step):
        assert len(data) <= step
        parts.append(data)
    stream.close()
    stream.close()
    return b"".join(parts)


def read_image(source: ImageSource) -> tuple[str, bytes, list[bytes]]:
    """Return (root digest, config, layers) of a source whose root is a manifest."""
    descriptor, raw = source.root()
    manifest = manifest_of(source)
    assert descriptor.size == len(raw)
    config = source.fetch_config(manifest.config)
    return descriptor.digest, config, [read_all(source.open_blob(x)) for x in manifest.layers]


def manifest_of(source: ImageSource) -> Manifest:
    descriptor, raw = source.root()
    return parse_manifest(raw, descriptor.media_type, Limits())


def open_descriptors() -> set[str]:
    """Return what this process has open, to see that nothing is left open."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{one.name} {one.readlink()}")
        except OSError:
            continue
    return found


def tool(name: str) -> str:
    """Return the path of an outside tool; without it the test is skipped, in CI it fails."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed: apt-get install {name}")
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return path


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
