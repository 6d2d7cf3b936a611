"""OCI image layouts: blobs, config, manifest, index.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CREATED = "2023-11-14T22:13:20Z"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """A compressed layer in a file."""

    file: Path
    digest: str
    diff_id: str
    size: int


def compress_layer(tar: BinaryIO, directory: Path, gzip_level: int) -> Layer:
    """Compress ``tar`` from its start into a file in ``directory`` that bears its digest's name."""
    tar.seek(0)
    inside, outside = hashlib.sha256(), hashlib.sha256()
    packer = zlib.compressobj(gzip_level, zlib.DEFLATED, 31)
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as out:
        while block := tar.read(1 << 20):
            inside.update(block)
            packed = packer.compress(block)
            outside.update(packed)
            out.write(packed)
        packed = packer.flush()
        outside.update(packed)
        out.write(packed)
        size = out.tell()
    file = directory / outside.hexdigest()
    Path(out.name).rename(file)
    file.chmod(0o644)
    return Layer(file, f"sha256:{outside.hexdigest()}", f"sha256:{inside.hexdigest()}", size)


def layer_from(write: Callable[[BinaryIO], None], directory: Path, gzip_level: int) -> Layer:
    """Let ``write`` write a tar, then compress it."""
    with tempfile.TemporaryFile(dir=directory) as tar:
        write(tar)
        return compress_layer(tar, directory, gzip_level)


def write_layout(
    target: Path, name: str, layers: list[Layer], steps: list[str], config: dict[str, Any]
) -> None:
    """Write a layout with one image, tagged ``name``; ``steps`` are the layers' build steps."""
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for layer in layers:
        copy = blobs / layer.file.name
        if not copy.exists():
            _link(layer.file, copy)
    image = {
        "created": CREATED,
        "architecture": _MACHINES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": step} for step in steps],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": _write_blob(blobs, _CONFIG_TYPE, image),
        "layers": [_describe(_LAYER_TYPE, layer.digest, layer.size) for layer in layers],
    }
    entry = _write_blob(blobs, _MANIFEST_TYPE, manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    _write_json(target / "index.json", {"schemaVersion": 2, "manifests": [entry]})
    _write_json(target / "oci-layout", {"imageLayoutVersion": "1.0.0"})


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _describe(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _write_blob(blobs: Path, media_type: str, document: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(document, separators=(",", ":")).encode()
    name = hashlib.sha256(body).hexdigest()
    (blobs / name).write_bytes(body)
    return _describe(media_type, f"sha256:{name}", len(body))


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")
