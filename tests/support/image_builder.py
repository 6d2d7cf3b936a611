"""Container images made in memory: layers, manifests, OCI layouts and docker archives.

Everything is deterministic: the same arguments give the same bytes and digests.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
CONTAINERD_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Entry:
    """One tar entry. A path of ``bytes`` is written as it is, whatever its encoding."""

    path: str | bytes
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    link: str | bytes = ""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    pax: Mapping[str, str] = field(default_factory=dict)


def directory(path: str) -> Entry:
    return Entry(path, type=tarfile.DIRTYPE, mode=0o755)


def symlink(path: str, link: str) -> Entry:
    return Entry(path, type=tarfile.SYMTYPE, mode=0o777, link=link)


def hardlink(path: str, link: str) -> Entry:
    return Entry(path, type=tarfile.LNKTYPE, link=link)


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _name(name: str | bytes) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


def tar_layer(entries: Iterable[Entry], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return an uncompressed tar of ``entries``, in order, duplicates and all."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tar_format, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for entry in entries:
            info = tarfile.TarInfo(_name(entry.path))
            info.type, info.mode, info.linkname = entry.type, entry.mode, _name(entry.link)
            info.uid, info.gid, info.mtime = entry.uid, entry.gid, entry.mtime
            info.pax_headers = dict(entry.pax)
            info.size = len(entry.data)
            archive.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def gzip_layer(content: bytes, members: int = 1) -> bytes:
    """Return ``content`` as gzip of that many members (pigz, eStargz)."""
    return b"".join(gzip.compress(part, 6, mtime=0) for part in _parts(content, members))


def zstd_layer(content: bytes, frames: int = 1) -> bytes:
    """Return ``content`` as zstd of that many frames (zstd:chunked)."""
    return b"".join(zstandard.compress(part) for part in _parts(content, frames))


def _parts(content: bytes, count: int) -> list[bytes]:
    step = max(1, -(-len(content) // count))
    return [content[start : start + step] for start in range(0, len(content), step)] or [b""]


def uncompressed(layer: bytes) -> bytes:
    """Return the tar of a gzip, zstd or plain layer, by magic bytes."""
    if layer.startswith(GZIP_MAGIC):
        return gzip.decompress(layer)
    if layer.startswith(ZSTD_MAGIC):
        with zstandard.ZstdDecompressor().stream_reader(layer, read_across_frames=True) as reader:
            return reader.read()
    return layer


def layer_media_type(layer: bytes) -> str:
    if layer.startswith(GZIP_MAGIC):
        return OCI_LAYER + "+gzip"
    return OCI_LAYER + "+zstd" if layer.startswith(ZSTD_MAGIC) else OCI_LAYER


def descriptor(media_type: str, content: bytes, **more: object) -> dict[str, object]:
    """Return the descriptor of ``content`` as JSON would hold it."""
    return {"mediaType": media_type, "digest": digest(content), "size": len(content), **more}


@dataclass(frozen=True)
class Image:
    """One image of one platform."""

    manifest_bytes: bytes
    config_bytes: bytes
    layers: tuple[bytes, ...]
    """Oldest first, as stored (compressed or not)."""
    media_type: str = OCI_MANIFEST
    platform: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest(self.manifest_bytes)

    @property
    def image_id(self) -> str:
        return digest(self.config_bytes)

    @property
    def diff_ids(self) -> list[str]:
        return [digest(uncompressed(layer)) for layer in self.layers]

    @property
    def blobs(self) -> dict[str, bytes]:
        """Manifest, config and layers by digest."""
        return {digest(c): c for c in (self.manifest_bytes, self.config_bytes, *self.layers)}

    def descriptor(self, **more: object) -> dict[str, object]:
        if self.platform:
            more = {"platform": dict(self.platform), **more}
        return descriptor(self.media_type, self.manifest_bytes, **more)


@dataclass(frozen=True)
class ImageIndex:
    """Several images (or indexes) under one digest."""

    manifest_bytes: bytes
    images: tuple[Image | ImageIndex, ...]
    media_type: str = OCI_INDEX

    @property
    def digest(self) -> str:
        return digest(self.manifest_bytes)

    @property
    def blobs(self) -> dict[str, bytes]:
        """The index itself and everything below it, by digest."""
        found = {self.digest: self.manifest_bytes}
        for one in self.images:
            found |= one.blobs
        return found

    def descriptor(self, **more: object) -> dict[str, object]:
        return descriptor(self.media_type, self.manifest_bytes, **more)


def image(
    layers: Sequence[bytes],
    config: Mapping[str, object] | None = None,
    *,
    annotations: Mapping[str, str] | None = None,
    os: str = "linux",
    architecture: str = "amd64",
    **document: object,
) -> Image:
    """Return an image of ``layers`` (oldest first, any compression).

    ``config`` is what stands under ``config`` in the config document (``User``, ``Env`` …);
    ``document`` adds or replaces keys of that document itself (``history``, ``rootfs`` …).
    """
    platform = {"os": os, "architecture": architecture}
    diff_ids = [digest(uncompressed(layer)) for layer in layers]
    config_bytes = to_json(
        {
            **platform,
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            **document,
        }
    )
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config_bytes),
        "layers": [descriptor(layer_media_type(layer), layer) for layer in layers],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    return Image(to_json(manifest), config_bytes, tuple(layers), platform=platform)


def image_index(images: Sequence[Image | ImageIndex]) -> ImageIndex:
    """Return an index of ``images``, in order."""
    content = to_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [one.descriptor() for one in images],
        }
    )
    return ImageIndex(content, tuple(images))


Named = Sequence[Image | ImageIndex] | Mapping[str, Image | ImageIndex]


def oci_layout_files(images: Named) -> dict[str, bytes]:
    """Return path -> content of an OCI layout; the keys of a mapping become ``ref.name``."""
    if isinstance(images, Mapping):
        entries = [one.descriptor(annotations={REF_NAME: name}) for name, one in images.items()]
        images = list(images.values())
    else:
        entries = [one.descriptor() for one in images]
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}),
    }
    for one in images:
        files |= {f"blobs/{key.replace(':', '/')}": blob for key, blob in one.blobs.items()}
    return files


def _docker_index(image: Image, tags: Sequence[str]) -> bytes:
    """Return index.json as Docker 25 writes it: the tag alone, and containerd's full name."""
    entries = [
        image.descriptor(
            annotations={
                CONTAINERD_NAME: f"docker.io/{tag}",
                REF_NAME: tag.rpartition(":")[2],
            }
        )
        for tag in tags
    ]
    return to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})


def docker_archive_files(
    image: Image, *, hybrid: bool = False, tags: Sequence[str] = ("team/app:1",)
) -> dict[str, bytes]:
    """Return path -> content of ``docker save``: classic, or hybrid as Docker 25 and newer write it."""
    if hybrid:
        names = [f"blobs/{digest(layer).replace(':', '/')}" for layer in image.layers]
        config_name = f"blobs/{image.image_id.replace(':', '/')}"
        files = oci_layout_files([image])
        if tags:
            files["index.json"] = _docker_index(image, tags)
    else:
        names = [f"{diff_id[7:]}/layer.tar" for diff_id in image.diff_ids]
        config_name = f"{image.image_id[7:]}.json"
        files = dict(zip(names, map(uncompressed, image.layers), strict=True))
        files[config_name] = image.config_bytes
    entry = {"Config": config_name, "RepoTags": list(tags) or None, "Layers": names}
    return {**files, "manifest.json": to_json([entry])}


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of ``files``, in order."""
    return tar_layer(Entry(path, data) for path, data in files.items())


def write_tree(files: Mapping[str, bytes], path: Path) -> Path:
    """Write ``files`` below the directory ``path`` and return it."""
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


def write_oci_layout(images: Named, path: Path) -> Path:
    """Write an OCI layout: a tar if ``path`` ends in ``.tar``, else a directory."""
    files = oci_layout_files(images)
    if path.suffix != ".tar":
        return write_tree(files, path)
    path.write_bytes(pack(files))
    return path


def write_docker_archive(
    image: Image, path: Path, *, hybrid: bool = False, tags: Sequence[str] = ("team/app:1",)
) -> Path:
    """Write what ``docker save`` writes, uncompressed."""
    path.write_bytes(pack(docker_archive_files(image, hybrid=hybrid, tags=tags)))
    return path
