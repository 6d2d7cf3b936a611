"""Checked files as a report that every report format can write.

What a report says of an image is said of the manifests: the digest is that of their names and bytes, the platform
is Kubernetes at the version and level that were asked for, and there are no layers.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from scanner import __version__
from scanner.discovery import pod_controls
from scanner.model import (
    Coverage,
    Digest,
    FileIssue,
    ImageReport,
    Kind,
    Platform,
    ScanReport,
    ScanState,
)
from scanner.model.report import MANIFESTS_OS
from scanner.pod_security.check import CheckedFile
from scanner.pod_security.versions import version_text
from scanner.ports.control import Level

_NOT_LOOKED_FOR: Final = (Kind.VULNERABILITY, Kind.SECRET, Kind.CRYPTO)


def report_of(
    files: Sequence[CheckedFile],
    issues: Sequence[FileIssue],
    *,
    name: str,
    level: Level,
    minor: int,
    schema_version: str,
    started_at: str,
    seconds: float,
) -> ScanReport:
    """Return the report on files and on what else was there: ``skipped`` issues are told, others make it partial.

    ``started_at`` is RFC 3339; ``name`` says where the files are.
    """
    skipped = [issue for issue in issues if issue.code == "skipped"]
    broken = [issue for issue in issues if issue.code != "skipped"]
    for file in files:
        skipped += file.skipped
        broken += file.issues
    image = _image(files, broken, [*broken, *skipped], level, minor)
    return ScanReport(
        schema_version=schema_version,
        scanner_version=__version__,
        fingerprint=_fingerprint(level, minor),
        reference=f"manifests in {name}",
        digest=image.digest,
        started_at=started_at,
        seconds=seconds,
        stage_seconds={"check": seconds},
        state=image.state,
        images=(image,),
        skipped=tuple(skipped),
    )


def _image(
    files: Sequence[CheckedFile],
    broken: Sequence[FileIssue],
    told: Sequence[FileIssue],
    level: Level,
    minor: int,
) -> ImageReport:
    objects_count = sum(file.objects_count for file in files)
    state = ScanState.PARTIAL if broken else ScanState.COMPLETE
    why = "; ".join(f"{issue.path}: {issue.reason}" for issue in told[:3])
    digest = _digest(files)
    return ImageReport(
        digest=digest,
        image_id=digest,
        platform=Platform(os=MANIFESTS_OS, architecture=version_text(minor), variant=str(level)),
        state=state if objects_count else ScanState.FAILED,
        coverage=_coverage(files, broken, objects_count),
        findings=tuple(finding for file in files for finding in file.findings),
        error="" if objects_count else f"there is no Kubernetes object: {why or 'it is empty'}",
    )


def _coverage(
    files: Sequence[CheckedFile], broken: Sequence[FileIssue], objects_count: int
) -> Coverage:
    return Coverage(
        layers_count=0,
        layers_scanned_count=0,
        compressed_bytes=0,
        uncompressed_bytes=sum(file.bytes_count for file in files),
        entries_count=objects_count,
        files_count=len(files),
        read_count=sum(file.objects_count > 0 for file in files),
        distribution_recognised=False,
        ecosystems={},
        issues=tuple(broken),
        limits=(),
        not_looked_for=_NOT_LOOKED_FOR,
    )


def _digest(files: Sequence[CheckedFile]) -> Digest:
    state = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.path):
        state.update(f"{file.path}\0{file.digest}\0".encode("utf-8", "surrogateescape"))
    return Digest(f"sha256:{state.hexdigest()}")


def _fingerprint(level: Level, minor: int) -> str:
    rules = " ".join(control.rule_id for control in pod_controls())
    asked = f"{__version__} {level} {version_text(minor)} {rules}"
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
