"""What a scan says: of a layer, of an image, of a reference."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from scanner.model.finding import Finding
from scanner.model.kept import Kept, OwnedFiles
from scanner.model.oci import ImageConfig, Platform
from scanner.model.package import Distribution, Package
from scanner.model.verdict import Verdict

MANIFESTS_OS: Final = "kubernetes"
"""``platform.os`` of a report on manifests; the rest is version and level: ``kubernetes/v1.29/restricted``."""


class ScanState(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"  # everything there was to look at was looked at
    PARTIAL = "partial"  # something was not; the coverage block says what and why
    FAILED = "failed"  # nothing useful was seen


class FileIssue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file (or other part) that was not looked at as it should have been, and why."""

    path: str
    reason: str
    code: str
    """An error code of ``scanner.errors`` or ``skipped``."""
    analyzer: str = ""
    layer: str = ""


class LimitHit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named limit that cut something short."""

    limit: str
    allowed: float
    path: str = ""
    layer: str = ""


class LayerTree(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    r"""Every path a layer writes, compact, for merging.

    ``names`` is ``dir NUL names NUL dir NUL names …``; names of one directory are joined by ``/`` and
    start with their type: ``d`` directory, ``l`` symlink, ``f`` anything else. A directory may occur more than once.
    One that begins with byte 1 is written ``\x01 count / rest``: it begins with that many bytes of the directory before.
    """

    names: bytes = b""
    symlinks: tuple[tuple[str, str], ...] = ()
    """(path, target as written)."""
    hardlinks: tuple[tuple[str, str], ...] = ()
    """(path, target path)."""
    whiteouts: tuple[str, ...] = ()
    """Paths that this layer deletes from older ones."""
    opaques: tuple[str, ...] = ()
    """Directories whose older content this layer hides."""


class LayerReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one layer holds. Depends on its bytes and the analyzers' fingerprint only."""

    digest: str
    diff_id: str
    compressed_bytes: int
    uncompressed_bytes: int
    compression: str
    """``gzip``, ``zstd`` or ``none``, by magic bytes."""
    entries_count: int
    files_count: int
    """Regular files."""
    read_count: int
    """Files handed to at least one analyzer whole; patterns see every byte of all of them."""
    packages: tuple[Package, ...] = ()
    findings: tuple[Finding, ...] = ()
    kept: tuple[Kept, ...] = ()
    owned: tuple[OwnedFiles, ...] = ()
    issues: tuple[FileIssue, ...] = ()
    limits: tuple[LimitHit, ...] = ()
    tree: LayerTree = LayerTree()
    error: str = ""
    """Why reading stopped early. Then digests are not verified, what was found until there is kept, and the
    report is never stored."""
    error_code: str = ""


class LayerSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One layer in an image report."""

    digest: str
    index: int
    media_type: str = ""
    compression: str = ""
    diff_id: str = ""
    compressed_bytes: int = 0
    uncompressed_bytes: int = 0
    entries_count: int = 0
    build_step: str = ""
    cached: bool = False
    """Read from the store, not from the image, in this run."""
    error: str = ""
    """Why it was not scanned; empty when it was."""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what was not. Never left out of a report."""

    layers_count: int
    layers_scanned_count: int
    compressed_bytes: int
    uncompressed_bytes: int
    entries_count: int
    files_count: int
    read_count: int
    distribution_recognised: bool
    ecosystems: dict[str, int]
    """Packages found per purl type."""
    issues: tuple[FileIssue, ...]
    limits: tuple[LimitHit, ...]
    not_looked_for: tuple[str, ...] = ("vulnerability",)
    """Kinds of finding that this scan did not look for: their absence says nothing."""


class AdvisoryState(msgspec.Struct, frozen=True, kw_only=True):
    """The advisories that packages were matched with."""

    stamp: str
    """Changes when any of their content does."""
    checked_at: dict[str, str]
    """When each publisher was last asked (RFC 3339), by ecosystem as ``scanner db status`` names it."""
    out_of_date: tuple[str, ...]
    """Those of them that are older than the settings allow."""


class ImageReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image of one platform."""

    digest: str
    """Of the manifest; of the config (ImageID) where an archive has lost the manifest."""
    image_id: str
    platform: Platform
    state: ScanState
    coverage: Coverage
    distribution: Distribution | None = None
    config: ImageConfig | None = None
    layers: tuple[LayerSummary, ...] = ()
    packages: tuple[Package, ...] = ()
    findings: tuple[Finding, ...] = ()
    error: str = ""
    """Why nothing was scanned, when ``state`` is failed."""
    advisories: AdvisoryState | None = None
    """What vulnerabilities were looked for with; None where they were not (since 1.1)."""

    @property
    def is_of_manifests(self) -> bool:
        """Whether it is about manifests of Kubernetes, which have no layers, and not about an image."""
        return self.platform.os == MANIFESTS_OS


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one ``scanner scan`` says. The JSON report is this, with its schema in ``docs/``."""

    schema_version: str
    scanner_version: str
    fingerprint: str
    """Of the analyzers, rules and limits that looked."""
    reference: str
    digest: str
    """Of what the reference names: an index, or the only image."""
    started_at: str
    """RFC 3339, UTC."""
    seconds: float
    stage_seconds: dict[str, float]
    """Where the time went: ``resolve``, ``extract``, ``merge``, ``match``."""
    state: ScanState
    """The worst of the images'."""
    images: tuple[ImageReport, ...]
    skipped: tuple[FileIssue, ...]
    """Entries of an index that were not scanned, and why."""
    verdict: Verdict | msgspec.UnsetType = msgspec.UNSET
    """What a policy says, where one was asked (since 1.1)."""
