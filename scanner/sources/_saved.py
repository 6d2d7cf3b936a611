"""A classic docker archive: ``manifest.json``, configs, and layers that go by their diff_ids.

Source: https://github.com/moby/moby/blob/v28.0.0/image/spec/spec.md
"""

from __future__ import annotations

import json
import re
from typing import Self

import msgspec

from scanner.errors import (
    DigestMismatchError,
    LimitExceededError,
    MalformedManifestError,
    NotFoundError,
)
from scanner.model import Descriptor, digest_of
from scanner.ports import BlobStream, Limits
from scanner.sources._archive import ArchiveFiles
from scanner.sources._documents import OCI_MANIFEST, parse_config, verify_content
from scanner.sources._fields import read_document, read_list, read_table, read_text, read_texts
from scanner.sources._files import read_file

MANIFEST = "manifest.json"
_HEX_NAME = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?\Z")
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar"


class SavedImage(msgspec.Struct, frozen=True):
    """One entry of ``manifest.json``."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


class ClassicSource:
    """One image of a classic archive; see :class:`scanner.ports.ImageSource`.

    The root descriptor's digest is the config's, not that of the (made-up) manifest bytes.
    """

    blobs_by_diff_id = True
    cacheable = True

    def __init__(
        self, files: ArchiveFiles, reference: str, saved: SavedImage, limits: Limits
    ) -> None:
        """Take over ``files``.

        Raises:
            NotFoundError: the config is not there.
            DigestMismatchError: the config's name is another digest than its own.
            MalformedManifestError: a malformed config, or not one layer for each diff_id.
        """
        self.reference = reference
        self._files = files
        self._config = read_saved_config(files, saved, limits)
        diff_ids = parse_config(self._config).diff_ids
        if len(diff_ids) != len(saved.layers):
            reason = f"{len(saved.layers)} layers in manifest.json, {len(diff_ids)} in the config"
            raise MalformedManifestError(reason)
        if len(diff_ids) > limits.layers_count:
            raise LimitExceededError("layers_count", limits.layers_count, len(diff_ids))
        self._names = dict(zip(map(str, diff_ids), saved.layers, strict=True))
        self._raw = self._made_up_manifest([str(one) for one in diff_ids])

    def root(self) -> tuple[Descriptor, bytes]:
        """Return the made-up manifest under the ImageID."""
        image_id = digest_of(self._config)
        return Descriptor(media_type=OCI_MANIFEST, digest=image_id, size=len(self._raw)), self._raw

    def fetch_manifest(self, descriptor: Descriptor) -> bytes:
        """Return the made-up manifest; there is no other."""
        if descriptor.digest != digest_of(self._config):
            raise NotFoundError(self._files.where, f"open {descriptor.digest}", "no such manifest")
        return self._raw

    def fetch_config(self, descriptor: Descriptor) -> bytes:
        """Return the config, checked."""
        return verify_content(self._config, descriptor, what="config")

    def open_blob(self, descriptor: Descriptor) -> BlobStream:
        """Open a layer by its diff_id: a tar, sometimes a gzip of it."""
        name = self._names.get(descriptor.digest)
        if name is None:
            raise NotFoundError(self._files.where, f"open {descriptor.digest}", "no such layer")
        return self._files.open(name)

    def close(self) -> None:
        """Let go of the archive."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _made_up_manifest(self, diff_ids: list[str]) -> bytes:
        return _to_json(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {
                    "mediaType": _CONFIG_TYPE,
                    "digest": digest_of(self._config),
                    "size": len(self._config),
                },
                "layers": [
                    {"mediaType": _LAYER_TYPE, "digest": one, "size": self._stored_bytes(one)}
                    for one in diff_ids
                ],
            }
        )

    def _stored_bytes(self, diff_id: str) -> int:
        """Return the size as stored; 0 for a layer that is missing, which opening it will say."""
        member = self._files.find(self._names[diff_id])
        return member.size if member else 0


def _to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def read_saved_config(files: ArchiveFiles, saved: SavedImage, limits: Limits) -> bytes:
    """Return an image's config; it is checked where its name is a digest, as Docker's and skopeo's are."""
    content = read_file(files, saved.config, "config_bytes", limits.config_bytes)
    named = _HEX_NAME.search(saved.config)
    actual = digest_of(content)
    if named and actual != f"sha256:{named[1]}":
        raise DigestMismatchError("config", f"sha256:{named[1]}", actual)
    return content


def parse_saved(raw: bytes) -> list[SavedImage]:
    """Return the images that ``manifest.json`` lists.

    Raises:
        MalformedManifestError: not a JSON list of objects with ``Config`` and ``Layers``.
    """
    document = read_document(b'{"images":' + raw + b"}", MANIFEST)
    if set(document) != {"images"}:
        raise MalformedManifestError(f"{MANIFEST}: not a list")
    found = []
    for position, value in enumerate(read_list(document["images"], MANIFEST)):
        where = f"{MANIFEST}[{position}]"
        entry = read_table(value, where)
        config = read_text(entry, "config", where)
        tags = read_texts(entry.get("repotags"), f"{where}.RepoTags")
        found.append(SavedImage(config, tags, read_texts(entry.get("layers"), f"{where}.Layers")))
    if not found:
        raise MalformedManifestError(f"{MANIFEST}: lists no image")
    return found
