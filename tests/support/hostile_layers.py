"""Layers that are broken, lie or want too much, made by hand, and images that hold them."""

from __future__ import annotations

import bz2
import gzip
import struct
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from support.image_builder import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Entry,
    Image,
    descriptor,
    digest,
    layer_media_type,
    oci_layout_files,
    tar_layer,
    to_json,
    write_tree,
)

BLOCK = 512
MIB = 1024 * 1024
ZEROS_BYTES = 10 * 1024**3
TAR_END = bytes(2 * BLOCK)


def header(name: str, size: int = 0, kind: bytes = b"0", **changes: bytes) -> bytes:
    """Return a tar header; ``size_field`` and ``checksum_field`` replace what would be right."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if "size_field" in changes:
        raw[124:136] = changes["size_field"]
    raw[148:156] = b" " * 8
    raw[148:156] = changes.get("checksum_field", b"%06o\0 " % sum(raw))
    return bytes(raw)


def file(name: str, content: bytes) -> bytes:
    return header(name, len(content)) + content + bytes(-len(content) % BLOCK)


def damaged(compressed: bytes) -> bytes:
    """Return the stream with bytes changed in its middle."""
    middle = len(compressed) // 2
    return (
        compressed[:middle]
        + bytes(b ^ 0xFF for b in compressed[middle : middle + 8])
        + compressed[middle + 8 :]
    )


def gzip_zeros() -> bytes:
    """Return 10 GiB of zeros after a tar header, as gzip of many members: 10 MB."""
    member = gzip.compress(bytes(64 * MIB), 9, mtime=0)
    return gzip.compress(header("zeros", ZEROS_BYTES), mtime=0) + member * (
        ZEROS_BYTES // (64 * MIB)
    )


def bzip2_zeros() -> bytes:
    """Return the same as bzip2: a few KB."""
    member = bz2.compress(bytes(64 * MIB))
    return bz2.compress(header("zeros", ZEROS_BYTES)) + member * (ZEROS_BYTES // (64 * MIB))


def zstd_zeros() -> bytes:
    """Return the same as zstd: a frame of blocks that each say "128 KiB of zero" in 4 bytes."""
    size = 128 * 1024
    block = struct.pack("<I", size << 3 | 1 << 1)[:3] + b"\0"
    last = struct.pack("<I", size << 3 | 1 << 1 | 1)[:3] + b"\0"
    frame = b"\x28\xb5\x2f\xfd" + b"\0" + b"\x38"  # no size, no checksum; a window of 128 KiB
    frame += block * (ZEROS_BYTES // size - 1) + last
    return zstandard.compress(header("zeros", ZEROS_BYTES)) + frame


def nested_directories(count: int, depth: int = 70) -> bytes:
    """Return a gzip layer of ``count`` directories, each inside the one before, in chains of ``depth``."""
    plain = tarfile.TarInfo("d/")
    plain.type = tarfile.DIRTYPE
    template = plain.tobuf(tarfile.USTAR_FORMAT)
    before, after = template[:148], template[156:345]
    checksum = sum(before) + sum(after) + 8 * 32
    squeezer = zlib.compressobj(1, wbits=31)
    pieces = []
    for start in range(0, count, depth):
        parent = b"n%d" % start
        for _ in range(min(depth, count - start)):
            field = b"%06o\0 " % (checksum + sum(parent))
            pieces.append(squeezer.compress(before + field + after + parent.ljust(167, b"\0")))
            parent += b"/d"
    return b"".join([*pieces, squeezer.compress(TAR_END), squeezer.flush()])


def deep_path(count: int) -> bytes:
    """Return a tar with one file below ``count`` directories."""
    path = b"d/" * count + b"f"
    long_name = (
        header("././@LongLink", len(path) + 1, b"L") + path + bytes(-len(path) % BLOCK or BLOCK)
    )
    return long_name + file("f", b"x") + TAR_END


@dataclass(frozen=True)
class OddLayer:
    """A layer whose bytes, digests and descriptor need not fit each other."""

    blob: bytes
    tar: bytes = b""
    """What the diff_id is of."""
    stored: bytes | None = None
    """What lies under the digest of ``blob``."""
    said: dict[str, Any] = field(default_factory=dict)
    diff_id: str = ""
    """Instead of that of ``tar``, for a layer too large to hold."""


def odd_image(layers: Sequence[OddLayer], architecture: str = "amd64") -> Image:
    """Return an image whose config and manifest say of the layers what those want to be said."""
    config = to_json(
        {
            "os": "linux",
            "architecture": architecture,
            "config": {"User": "1"},
            "rootfs": {"type": "layers", "diff_ids": [x.diff_id or digest(x.tar) for x in layers]},
        }
    )
    described = [descriptor(layer_media_type(one.blob), one.blob) | one.said for one in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": described,
    }
    platform = {"os": "linux", "architecture": architecture}
    return Image(to_json(manifest), config, tuple(x.blob for x in layers), platform=platform)


def write_odd_layout(layers: Sequence[OddLayer], path: Path) -> Path:
    """Write an OCI layout of :func:`odd_image`."""
    files = oci_layout_files([odd_image(layers)])
    for one in layers:
        if one.stored is not None:
            files[f"blobs/{digest(one.blob).replace(':', '/')}"] = one.stored
    return write_tree(files, path)


def good(*entries: Entry) -> OddLayer:
    """Return a layer that is as it should be."""
    tar = tar_layer(entries)
    return OddLayer(gzip.compress(tar, 1, mtime=0), tar)
