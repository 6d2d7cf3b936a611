"""What ``docker save`` writes: a tar with ``manifest.json``, itself perhaps gzip or zstd.

``docker-archive:path``, ``docker-archive:path:tag``, ``docker-archive:path:repository:tag``,
``docker-archive:path@sha256:<ImageID>``.

Docker 25 and newer put an OCI layout beside ``manifest.json``: that is read instead when it is whole, as
only it knows the manifest's digest. A classic archive has lost manifest and compressed layers: a manifest
is made up for it, **whose descriptor carries the digest of the config (the ImageID)**, and its layers go
by their diff_ids.

Source: https://github.com/moby/moby/blob/v28.0.0/image/spec/spec.md
"""

from __future__ import annotations

import os

from scanner.errors import (
    InvalidReferenceError,
    MalformedManifestError,
    NotFoundError,
    ScannerError,
)
from scanner.model import Digest, digest_of
from scanner.ports import ImageSource, Limits, SourceFactory, SourceOptions
from scanner.sources._archive import ArchiveFiles, compression_or_tar, open_archive
from scanner.sources._files import is_file, missing_path, read_file, split_reference
from scanner.sources._layout import INDEX, MARK, LayoutSource, is_named
from scanner.sources._saved import (
    MANIFEST,
    ClassicSource,
    SavedImage,
    parse_saved,
    read_saved_config,
)

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")
_HINT_NAMES_COUNT = 10


def accepts(reference: str) -> bool:
    """Whether it is a tar, plain or compressed; what is in it is seen when it is opened."""
    path = split_reference(reference)[0]
    return is_file(path) and (path.endswith(_SUFFIXES) or bool(compression_or_tar(path)))


def open_saved(reference: str, options: SourceOptions) -> ImageSource:
    """Open an archive.

    Raises:
        InvalidReferenceError: no such path, no such image in it, or several and none chosen.
        NotFoundError: neither ``manifest.json`` nor an OCI layout in it.
        MalformedManifestError: a document is malformed, or the two manifests name different images.
    """
    path, choice = split_reference(reference)
    if not os.path.lexists(path):
        raise missing_path(reference)
    files = open_archive(path, options.spool_dir, options.limits)
    try:
        return _open(files, f"docker-archive:{reference}", choice, options.limits)
    except BaseException:
        files.close()
        raise


def _open(files: ArchiveFiles, reference: str, choice: str, limits: Limits) -> ImageSource:
    has_layout = files.has(MARK) and files.has(INDEX)
    if not files.has(MANIFEST):
        if has_layout:
            return LayoutSource(files, reference, choice, limits)
        raise _no_image(files.where)
    raw = read_file(files, MANIFEST, "manifest_bytes", limits.manifest_bytes)
    saved = parse_saved(raw)
    layout = _whole_layout(files, reference, choice, limits) if has_layout else None
    if layout is not None:
        _check_agreement(layout, [_config_digest(files, one, limits) for one in saved])
        return layout
    return ClassicSource(files, reference, _choose(files, saved, choice, limits), limits)


def _no_image(where: str) -> NotFoundError:
    hint = "an OCI layout or what docker save wrote is expected"
    return NotFoundError(where, "open", "neither manifest.json nor index.json in it", hint=hint)


def _config_digest(files: ArchiveFiles, saved: SavedImage, limits: Limits) -> Digest:
    return digest_of(read_saved_config(files, saved, limits))


def _choose(
    files: ArchiveFiles, saved: list[SavedImage], choice: str, limits: Limits
) -> SavedImage:
    if choice.startswith("sha256:"):
        found = [one for one in saved if _config_digest(files, one, limits) == choice]
    else:
        found = [s for s in saved if not choice or any(is_named(t, choice) for t in s.tags)]
    if len({one.config for one in found}) == 1:
        return found[0]
    reason = "no image of that name in the archive"
    if found:
        reason = "names several images" if choice else "holds several images: choose one"
    error = InvalidReferenceError((choice or files.where)[:200], reason)
    tags = sorted({tag for one in saved for tag in one.tags})[:_HINT_NAMES_COUNT]
    error.hint = f"add :tag, one of {', '.join(tags)}" if tags else "choose one by @ImageID"
    raise error


def _whole_layout(
    files: ArchiveFiles, reference: str, choice: str, limits: Limits
) -> LayoutSource | None:
    """Return the OCI layout of a hybrid archive, or None if it lacks the image or part of it."""
    try:
        layout = LayoutSource(files, reference, choice, limits)
        manifests = layout.manifests()
    except ScannerError:
        return None  # manifest.json describes its images in full
    is_whole = any(
        all(layout.holds(part.digest) for part in (one.config, *one.layers)) for one in manifests
    )
    return layout if is_whole else None


def _check_agreement(layout: LayoutSource, configs: list[Digest]) -> None:
    """Refuse an archive that is one image to tools reading ``manifest.json`` and another to the rest.

    One side may list more: ``index.json`` other platforms, ``manifest.json`` images not chosen.

    Raises:
        MalformedManifestError: each side has a config that the other lacks.
    """
    listed, saved = {one.config.digest for one in layout.manifests()}, set(configs)
    if not (listed <= saved or saved <= listed):
        raise MalformedManifestError("manifest.json and index.json name different images")


SOURCE = SourceFactory(
    name="docker-archive",
    schemes=("docker-archive",),
    order=20,
    accepts=accepts,
    open=open_saved,
    summary="what docker save writes",
)
