"""An OCI image layout, whatever holds its files.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from scanner.errors import (
    InvalidReferenceError,
    LimitExceededError,
    MalformedManifestError,
    UnsupportedError,
)
from scanner.model import Descriptor, Digest, Index, Manifest, digest_of, parse_digest
from scanner.model.oci import INDEX_TYPES, MANIFEST_TYPES
from scanner.ports import BlobStream, Limits
from scanner.sources._documents import OCI_INDEX, parse_index, parse_root, verify_content
from scanner.sources._fields import read_document, read_text
from scanner.sources._files import Files, is_file, read_file

MARK = "oci-layout"
INDEX = "index.json"
_NAME_KEYS = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
_DEFAULT_PREFIXES = ("docker.io/library/", "docker.io/")
_HINT_NAMES_COUNT = 10


class LayoutSource:
    """One image (or index) of an OCI layout; see :class:`scanner.ports.ImageSource`."""

    blobs_by_diff_id = False
    cacheable = True

    def __init__(self, files: Files, reference: str, choice: str, limits: Limits) -> None:
        """Take over ``files``; ``choice`` is a name, tag or digest, or empty.

        Raises:
            NotFoundError: no ``oci-layout`` or ``index.json``.
            MalformedManifestError: one of them is malformed, or no image is listed.
            InvalidReferenceError: the choice names none, or several, of the images.
        """
        self.reference = reference
        self._files = files
        self._limits = limits
        _check_version(read_file(files, MARK, "manifest_bytes", limits.manifest_bytes))
        self._raw = read_file(files, INDEX, "manifest_bytes", limits.manifest_bytes)
        index = parse_index(self._raw, OCI_INDEX, limits)
        self._root = self._choose(index, choice) if choice else self._only(index)

    def root(self) -> tuple[Descriptor, bytes]:
        """Return the chosen or only entry, or else ``index.json`` itself."""
        if self._root.digest == digest_of(self._raw):
            return self._root, self._raw
        return self._root, self.fetch_manifest(self._root)

    def fetch_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index, checked."""
        return self._fetch(descriptor, "manifest", "manifest_bytes", self._limits.manifest_bytes)

    def fetch_config(self, descriptor: Descriptor) -> bytes:
        """Return a config, checked."""
        return self._fetch(descriptor, "config", "config_bytes", self._limits.config_bytes)

    def open_blob(self, descriptor: Descriptor) -> BlobStream:
        """Open a layer as it is stored."""
        return self._files.open(blob_name(descriptor.digest))

    def manifests(self) -> list[Manifest]:
        """Return every manifest below the root, as far as the layout holds it."""
        return list(self._manifests(*self.root(), self._limits.index_depth))

    def _manifests(self, descriptor: Descriptor, raw: bytes, depth: int) -> Iterator[Manifest]:
        document = parse_root(raw, descriptor.media_type, self._limits)
        if isinstance(document, Manifest):
            yield document
            return
        for entry in document.manifests if depth else ():
            if entry.media_type in MANIFEST_TYPES | INDEX_TYPES and self.holds(entry.digest):
                yield from self._manifests(entry, self.fetch_manifest(entry), depth - 1)

    def holds(self, digest: Digest) -> bool:
        """Whether the layout has this blob."""
        return self._files.has(blob_name(digest))

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _fetch(self, descriptor: Descriptor, what: str, limit: str, allowed: int) -> bytes:
        if descriptor.size > allowed:
            raise LimitExceededError(limit, allowed, descriptor.size)
        if descriptor.data is not None:
            return verify_content(descriptor.data, descriptor, what=what)
        content = read_file(self._files, blob_name(descriptor.digest), limit, allowed)
        return verify_content(content, descriptor, what=what)

    def _only(self, index: Index) -> Descriptor:
        """Return the single entry (several names of one image count once), or ``index.json`` itself."""
        found = _distinct(index.manifests)
        if not found:
            raise MalformedManifestError("index.json lists no image")
        if len(found) == 1:
            return found[0]
        return Descriptor(media_type=OCI_INDEX, digest=digest_of(self._raw), size=len(self._raw))

    def _choose(self, index: Index, choice: str) -> Descriptor:
        found = _distinct(e for e in index.manifests if _is_called(e, choice))
        if not found and choice.startswith("sha"):
            found = self._below(index, choice)
        if len(found) == 1:
            return found[0]
        reason = "names several images" if found else "no image of that name"
        error = InvalidReferenceError(choice[:200], reason)
        names = sorted({n for e in index.manifests for n in (*_names(e), e.digest)})
        error.hint = f"there are: {', '.join(names[:_HINT_NAMES_COUNT])}"
        raise error

    def _below(self, index: Index, choice: str) -> list[Descriptor]:
        """Return the entry of this digest in an index that ``index.json`` lists."""
        found: list[Descriptor] = []
        for entry in index.manifests:
            if entry.media_type in INDEX_TYPES and self.holds(entry.digest):
                raw = self.fetch_manifest(entry)
                nested = parse_index(raw, entry.media_type, self._limits)
                found += (e for e in nested.manifests if e.digest == choice)
        return _distinct(found)


def is_layout(path: str) -> bool:
    """Whether the directory has the marks of a layout."""
    return all(is_file(str(Path(path, name))) for name in (MARK, INDEX))


def blob_name(digest: Digest) -> str:
    """Return where a layout keeps a blob; the digest is checked again, as a path is made of it."""
    algorithm, _, encoded = parse_digest(digest).partition(":")
    return f"blobs/{algorithm}/{encoded}"


def is_named(name: str, choice: str) -> bool:
    """Whether ``choice`` means the image called ``name``: in full, without Docker's defaults, or its tag."""
    short = name
    for prefix in _DEFAULT_PREFIXES:
        short = short.removeprefix(prefix)
    tag = name.rpartition("/")[2].partition(":")[2]
    return choice in {name, short, tag, name.removeprefix("docker.io/")}


def _is_called(entry: Descriptor, choice: str) -> bool:
    return entry.digest == choice or any(is_named(name, choice) for name in _names(entry))


def _names(entry: Descriptor) -> list[str]:
    return [entry.annotations[key] for key in _NAME_KEYS if entry.annotations.get(key)]


def _distinct(entries: Iterable[Descriptor]) -> list[Descriptor]:
    return list({entry.digest: entry for entry in entries}.values())


def _check_version(raw: bytes) -> None:
    version = read_text(read_document(raw, MARK), "imagelayoutversion", MARK)
    if not version.startswith("1."):
        raise UnsupportedError("OCI layout", f"version {version[:40]!r} is not 1.x")
