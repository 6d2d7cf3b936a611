"""From a reference to the images to scan: source, root document, platforms.

Source: https://github.com/opencontainers/image-spec/blob/main/image-index.md
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scanner.errors import InvalidReferenceError, LimitExceededError, ScannerError, UnsupportedError
from scanner.model import Descriptor, FileIssue, Index, Manifest, Platform
from scanner.model.oci import INDEX_TYPES
from scanner.pipeline.context import ScanContext
from scanner.ports import ImageSource, Limits
from scanner.sources._documents import parse_root, runnable
from scanner.sources._files import missing_path, split_reference

_PATH: Final = re.compile(r"\.{0,2}/|\.{1,2}\Z")
_REGISTRY: Final = "registry"


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image of one platform that is to be scanned. ``manifest`` is None until it is fetched."""

    descriptor: Descriptor
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a reference names."""

    root: Descriptor
    images: tuple[PlannedImage, ...]
    skipped: tuple[FileIssue, ...]


def open_source(reference: str, context: ScanContext) -> ImageSource:
    """Open ``reference`` with the source its scheme names, or the first that accepts it.

    A reference that is written as a path (``/…``, ``./…``, ``../…``) never names an image in a registry.

    Raises:
        InvalidReferenceError: no source takes it, or nothing is at the path.
        ScannerError: the source cannot open it.
    """
    scheme, colon, rest = reference.partition(":")
    if colon:
        for factory in context.sources:
            if scheme in factory.schemes:
                return factory.open(rest.removeprefix("//"), context.source_options)
    is_path = _PATH.match(reference) is not None
    for factory in context.sources:
        if not (is_path and factory.name == _REGISTRY) and factory.accepts(reference):
            return factory.open(reference, context.source_options)
    raise _no_source(reference, is_path=is_path)


def _no_source(reference: str, *, is_path: bool) -> InvalidReferenceError:
    if not is_path:
        return InvalidReferenceError(reference[:200], "no source takes this reference")
    path = split_reference(reference)[0]
    if not os.path.lexists(path):
        return missing_path(reference)
    reason = "not an OCI layout, a docker archive or a directory"
    return InvalidReferenceError(reference[:200], reason)


def plan(source: ImageSource, wanted: Sequence[Platform], limits: Limits) -> Plan:
    """Return the images that the source's root leads to: every runnable platform, or the wanted ones.

    Raises:
        UnsupportedError: the root is no image, or has none of the wanted platforms.
        ScannerError: the root cannot be had or is malformed.
    """
    root, raw = source.root()
    document = parse_root(raw, root.media_type, limits)
    if isinstance(document, Manifest):
        return Plan(root, (PlannedImage(root, document),), ())
    walk = _IndexWalk(source, limits)
    walk.index(document, 1)
    images = [i for i in walk.images if not wanted or _is_wanted(i.descriptor, wanted)]
    if not images:
        has = ", ".join(str(i.descriptor.platform or "unknown") for i in walk.images) or "none"
        asked = ", ".join(map(str, wanted)) or "any"
        raise UnsupportedError("index", f"no image for platform {asked}; it has {has}")
    once = {i.descriptor.digest: i for i in reversed(images)}
    return Plan(root, tuple(reversed(once.values())), tuple(walk.skipped))


def _is_wanted(descriptor: Descriptor, wanted: Sequence[Platform]) -> bool:
    """Whether an entry may be for one of the platforms; where it names none, its config will tell."""
    has = descriptor.platform
    return has is None or any(platform_matches(has, w) for w in wanted)


def platform_matches(has: Platform, wanted: Platform) -> bool:
    """Whether an image's platform is the wanted one; a wanted platform without variant takes any."""
    return (has.os, has.architecture) == (wanted.os, wanted.architecture) and (
        not wanted.variant or has.variant == wanted.variant
    )


class _IndexWalk:
    """Gathers images through nested indexes, each digest once per platform, bounded in depth and number."""

    def __init__(self, source: ImageSource, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._seen: set[tuple[str, str]] = set()
        self.images: list[PlannedImage] = []
        self.skipped: list[FileIssue] = []

    def index(self, index: Index, depth: int) -> None:
        if depth > self._limits.index_depth:
            raise LimitExceededError("index_depth", self._limits.index_depth, depth)
        entries, skipped = runnable(index)
        self.skipped += skipped
        for entry in entries:
            key = (entry.digest, str(entry.platform))
            if key in self._seen:
                continue
            self._seen.add(key)
            if len(self._seen) > self._limits.index_entries_count:
                raise LimitExceededError(
                    "index_entries_count", self._limits.index_entries_count, len(self._seen)
                )
            self._entry(entry, depth)

    def _entry(self, entry: Descriptor, depth: int) -> None:
        if entry.media_type not in INDEX_TYPES:
            self.images.append(PlannedImage(entry, None))
            return
        try:
            raw = self._source.fetch_manifest(entry)
            nested = parse_root(raw, entry.media_type, self._limits)
        except LimitExceededError:
            raise
        except ScannerError as error:
            self.skipped.append(FileIssue(path=entry.digest, reason=str(error), code=error.code))
            return
        if isinstance(nested, Index):
            self.index(nested, depth + 1)
