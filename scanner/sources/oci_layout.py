"""OCI image layout: a directory, or a tar of one (itself perhaps gzip or zstd).

``oci:path``, ``oci:path:tag``, ``oci:path@sha256:…``. A tag is compared with the entry's
``org.opencontainers.image.ref.name`` or ``io.containerd.image.name``, whole or its tag. With no choice
and several images in ``index.json``, that index is the root and all of them are scanned.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import os
from pathlib import Path

from scanner.errors import ScannerError
from scanner.ports import ImageSource, Limits, SourceFactory, SourceOptions
from scanner.sources._archive import compression_or_tar, open_archive
from scanner.sources._files import (
    DirectoryFiles,
    Files,
    is_directory,
    missing_path,
    split_reference,
)
from scanner.sources._layout import MARK, LayoutSource, is_layout

_DOCKER_MARK = "manifest.json"


def accepts(reference: str) -> bool:
    """Whether it is a directory or plain tar with our marks and no ``manifest.json`` of Docker's."""
    path = split_reference(reference)[0]
    if is_directory(path):
        return is_layout(path)
    if compression_or_tar(path) != "tar":
        return False
    try:
        files = open_archive(path, Path(path).parent, Limits())
    except ScannerError:
        return False  # whoever opens it in earnest tells why
    try:
        return files.has(MARK) and not files.has(_DOCKER_MARK)
    finally:
        files.close()


def open_layout(reference: str, options: SourceOptions) -> ImageSource:
    """Open ``path[:tag]`` or ``path@digest``; raises what :class:`LayoutSource` raises."""
    path, choice = split_reference(reference)
    if not os.path.lexists(path):
        raise missing_path(reference)
    files: Files = (
        DirectoryFiles(path)
        if is_directory(path)
        else open_archive(path, options.spool_dir, options.limits)
    )
    try:
        scheme = "oci" if is_directory(path) else "oci-archive"
        return LayoutSource(files, f"{scheme}:{reference}", choice, options.limits)
    except BaseException:
        files.close()
        raise


SOURCE = SourceFactory(
    name="oci-layout",
    schemes=("oci", "oci-archive"),
    order=10,
    accepts=accepts,
    open=open_layout,
    summary="OCI image layout: directory or tar",
)
