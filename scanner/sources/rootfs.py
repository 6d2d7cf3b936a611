"""A directory that holds a root file system, scanned as an image of one layer.

There is no image config, so the manifest carries the annotation ``dev.scanner.source: rootfs``: checks of
the config (user, health check, ports) do not apply. There is no digest of the content either: the
layer's is a placeholder made of the path, no diff_id is given, and nothing may be stored under them.

Source: https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

import json
import os
from typing import Self

from scanner.errors import InvalidReferenceError, NotFoundError
from scanner.model import Descriptor, Digest, FileIssue, digest_of
from scanner.ports import BlobStream, ImageSource, Limits, SourceFactory, SourceOptions
from scanner.sources._directory_tar import DirectoryTar
from scanner.sources._documents import OCI_MANIFEST, verify_content
from scanner.sources._files import is_directory, missing_path
from scanner.sources._layout import is_layout

SOURCE_ANNOTATION = "dev.scanner.source"
_CONFIG = b'{"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


class RootfsSource:
    """One directory; see :class:`scanner.ports.ImageSource`."""

    blobs_by_diff_id = True
    cacheable = False

    def __init__(self, path: str, limits: Limits) -> None:
        """Remember the directory; it is read when the layer is."""
        self.reference = f"dir:{path}"
        self.issues: list[FileIssue] = []
        """What the last reading of the layer could not read, and why."""
        self._path = path
        self._limits = limits
        self._layer = digest_of(b"directory\0" + os.fsencode(os.path.realpath(path)))
        self._raw = _manifest(self._layer)

    def root(self) -> tuple[Descriptor, bytes]:
        """Return the made-up manifest."""
        digest = digest_of(self._raw)
        return Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(self._raw)), self._raw

    def fetch_manifest(self, descriptor: Descriptor) -> bytes:
        """Return the made-up manifest; there is no other."""
        return verify_content(self._raw, descriptor, what="manifest")

    def fetch_config(self, descriptor: Descriptor) -> bytes:
        """Return the made-up config."""
        return verify_content(_CONFIG, descriptor, what="config")

    def open_blob(self, descriptor: Descriptor) -> BlobStream:
        """Return the directory as a tar; ``issues`` is emptied and filled anew."""
        if descriptor.digest != self._layer:
            raise NotFoundError(self._path, f"open {descriptor.digest}", "no such layer")
        self.issues.clear()
        return DirectoryTar(self._path, self._limits, self.issues)

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _manifest(layer: Digest) -> bytes:
    config = {"mediaType": _CONFIG_TYPE, "digest": digest_of(_CONFIG), "size": len(_CONFIG)}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": [{"mediaType": _LAYER_TYPE, "digest": layer, "size": 0}],
        "annotations": {SOURCE_ANNOTATION: "rootfs"},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def accepts(reference: str) -> bool:
    """Whether it is written as a path (``/…``, ``./…``) and is a directory, but no OCI layout.

    A bare ``nginx`` is an image, even where a directory of that name is.
    """
    is_path = reference.startswith(("/", "."))
    return is_path and is_directory(reference) and not is_layout(reference)


def open_rootfs(reference: str, options: SourceOptions) -> ImageSource:
    """Open a directory.

    Raises:
        InvalidReferenceError: no such directory.
    """
    if not os.path.lexists(reference):
        raise missing_path(reference)
    if not is_directory(reference):
        error = InvalidReferenceError(reference[:200], "not a directory")
        error.hint = "an archive is named oci-archive:PATH or docker-archive:PATH"
        raise error
    return RootfsSource(reference, options.limits)


SOURCE = SourceFactory(
    name="rootfs",
    schemes=("dir", "rootfs"),
    order=30,
    accepts=accepts,
    open=open_rootfs,
    summary="directory with a root file system",
)
