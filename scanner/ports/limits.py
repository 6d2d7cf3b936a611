"""Every bound of a scan: named, with its unit in the name."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds that hold whatever an image holds. A hit is reported by the field's name."""

    manifest_bytes: int = 4 * 1024 * 1024
    """One manifest or index."""
    config_bytes: int = 16 * 1024 * 1024
    """One image config."""
    layers_count: int = 1_000
    """Layers of one image."""
    index_entries_count: int = 1_000
    """Entries of one index, nested ones included."""
    index_depth: int = 4
    """Indexes inside indexes."""
    layer_bytes: int = 64 * 1024**3
    """Uncompressed size of one layer."""
    entries_count: int = 5_000_000
    """Tar entries of one layer."""
    expansion_ratio: int = 200
    """Uncompressed over compressed, judged once ``expansion_floor_bytes`` have come out."""
    expansion_floor_bytes: int = 256 * 1024 * 1024
    """Uncompressed bytes of a layer that need no justification: small layers may compress well."""
    path_bytes: int = 4_096
    """One path; a longer one is an issue, its file is still read by patterns."""
    path_depth: int = 255
    """Directories in one path."""
    pax_bytes: int = 1024 * 1024
    """One PAX header or GNU long name."""
    memory_file_bytes: int = 8 * 1024 * 1024
    """A wanted file larger than this is spooled to disk instead of memory."""
    spool_bytes: int = 4 * 1024**3
    """All files spooled for one layer, together with their expansion."""
    file_bytes: int = 1024**3
    """A wanted file larger than this is not handed to analyzers at all."""
    archive_entries_count: int = 200_000
    """Members of a tar that holds an image (``docker save``, OCI layout)."""
    archive_depth: int = 5
    """Archives inside archives (JAR in WAR in EAR)."""
    hits_count: int = 10_000
    """Pattern hits looked at in one file."""
    outputs_count: int = 200_000
    """Packages, findings and issues of one layer."""
    kept_bytes: int = 256 * 1024 * 1024
    """Bytes that analyzers keep of one layer."""
    window_bytes: int = 1024 * 1024
    """Size of one decompressed window."""
    zstd_window_bytes: int = 128 * 1024 * 1024
    """Memory that a zstd stream may ask for."""
    scan_seconds: float = 3_600.0
    """One image, everything included."""
    idle_seconds: float = 60.0
    """Longest wait for the next bytes of a blob."""
