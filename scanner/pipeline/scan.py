"""Scan what one reference names: resolve, then per image extract, merge and report; last, match."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from scanner import __version__
from scanner.errors import (
    MalformedManifestError,
    NotFoundError,
    ScanCancelledError,
    ScannerError,
    UnsupportedError,
)
from scanner.model import (
    Coverage,
    Descriptor,
    FileIssue,
    ImageReport,
    Manifest,
    Platform,
    ScanReport,
    ScanState,
)
from scanner.pipeline.assemble import assemble
from scanner.pipeline.context import ScanContext, ScanRun
from scanner.pipeline.extract import LayerJob, extract
from scanner.pipeline.match import match_images
from scanner.pipeline.resolve import Plan, PlannedImage, open_source, plan, platform_matches
from scanner.ports import ImageSource, Progress
from scanner.sources._documents import parse_config, parse_manifest

SCHEMA_VERSION = "1.1"
_ROOTFS = "rootfs"
_SOURCE_ANNOTATION = "dev.scanner.source"
_WORST = (ScanState.COMPLETE, ScanState.PARTIAL, ScanState.FAILED)


class _OtherPlatformError(UnsupportedError):
    """Only the image's config told that nobody asked for its platform."""


def scan(
    reference: str,
    platforms: Sequence[Platform],
    context: ScanContext,
    progress: Progress,
    cancelled: threading.Event,
) -> ScanReport:
    """Scan ``reference``: every runnable platform, or those asked for.

    An image that cannot be scanned is in the report as failed and does not stop the others.

    Raises:
        ScanCancelledError: ``cancelled`` was set.
        ScannerError: the reference itself cannot be opened or resolved.
    """
    began = time.monotonic()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    limit = context.limits.scan_seconds
    run = ScanRun(progress, began + limit, limit, cancelled)
    run.enter("resolve")
    with open_source(reference, context) as source:
        planned = plan(source, platforms, context.limits)
        images, skipped = _images(planned, source, platforms, context, run)
        name = source.reference
    if context.matching is not None:
        run.enter("match")
        images = match_images(images, context.matching)
    run.enter("")
    return ScanReport(
        schema_version=SCHEMA_VERSION,
        scanner_version=__version__,
        fingerprint=context.fingerprint,
        reference=name,
        digest=planned.root.digest,
        started_at=started_at,
        seconds=round(time.monotonic() - began, 3),
        stage_seconds=run.stage_seconds,
        state=_state(images, skipped),
        images=images,
        skipped=skipped,
    )


def _images(
    planned: Plan,
    source: ImageSource,
    platforms: Sequence[Platform],
    context: ScanContext,
    run: ScanRun,
) -> tuple[tuple[ImageReport, ...], tuple[FileIssue, ...]]:
    """Return a report per image, and the entries that are none or that are not there.

    An index may list what its registry or archive does not hold, and artifacts beside images.
    """
    images: list[ImageReport] = []
    skipped = list(planned.skipped)
    for one in planned.images:
        try:
            images.append(_image(one, source, platforms, context, run))
        except (NotFoundError, UnsupportedError) as error:
            if one.manifest is not None:
                raise
            code = "skipped" if isinstance(error, _OtherPlatformError) else error.code
            skipped.append(FileIssue(path=one.descriptor.digest, reason=str(error), code=code))
    if not images:
        reasons = "; ".join(issue.reason for issue in skipped) or "it is empty"
        raise UnsupportedError("index", f"no entry could be scanned: {reasons}"[:500])
    return tuple(images), tuple(skipped)


def _state(images: Sequence[ImageReport], skipped: Sequence[FileIssue]) -> ScanState:
    """Return the worst image's state; an entry that should have been scanned but was not makes it partial."""
    states = [i.state for i in images]
    if any(issue.code != "skipped" for issue in skipped):
        states.append(ScanState.PARTIAL)
    return max(states, key=_WORST.index)


def _image(
    planned: PlannedImage,
    source: ImageSource,
    platforms: Sequence[Platform],
    context: ScanContext,
    run: ScanRun,
) -> ImageReport:
    """Return one image's report, from the store if today's is there."""
    descriptor = planned.descriptor
    # Some findings depend on the day (an expired certificate): a stored report answers for its own day.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # A saved image goes by the digest of its config: no manifest may be mistaken for it.
    fingerprint = context.fingerprint + ("-saved" if source.blobs_by_diff_id else "")
    if source.cacheable:
        stored = context.store.load_image(descriptor.digest, fingerprint, not_before=today)
        if stored is not None and _fits(stored.platform, platforms):
            return _from_store(stored)
    try:
        report = _read_image(planned, source, platforms, context, run)
    except (ScanCancelledError, NotFoundError, UnsupportedError):
        raise
    except ScannerError as error:
        return _failed(descriptor, error)
    if source.cacheable and not _retryable(report):
        context.store.save_image(report, fingerprint, source.reference)
    return report


def _from_store(report: ImageReport) -> ImageReport:
    layers = tuple(msgspec.structs.replace(layer, cached=True) for layer in report.layers)
    return msgspec.structs.replace(report, layers=layers)


def _read_image(
    planned: PlannedImage,
    source: ImageSource,
    platforms: Sequence[Platform],
    context: ScanContext,
    run: ScanRun,
) -> ImageReport:
    descriptor = planned.descriptor
    manifest = planned.manifest or parse_manifest(
        source.fetch_manifest(descriptor), descriptor.media_type, context.limits
    )
    config = parse_config(source.fetch_config(manifest.config), descriptor.platform)
    if not _fits(config.platform, platforms):
        asked = ", ".join(map(str, platforms))
        raise _OtherPlatformError("image", f"it is for {config.platform}, not for {asked}")
    run.enter("extract")
    # The annotation alone proves nothing: any image may carry it, and would switch its checks off.
    has_config = source.cacheable or manifest.annotations.get(_SOURCE_ANNOTATION) != _ROOTFS
    jobs = _jobs(manifest, config.diff_ids if has_config else None, str(config.platform))
    layers = extract(source, jobs, context, run)
    run.enter("merge")
    return assemble(
        descriptor,
        manifest.config.digest,
        config,
        layers,
        context,
        has_config=has_config,
        source_issues=tuple(getattr(source, "issues", ())),
    )


def _jobs(manifest: Manifest, diff_ids: Sequence[str] | None, platform: str) -> list[LayerJob]:
    if diff_ids is not None and len(diff_ids) != len(manifest.layers):
        raise MalformedManifestError(
            f"the manifest has {len(manifest.layers)} layers, the config {len(diff_ids)} diff_ids"
        )
    return [
        LayerJob(index, layer, diff_ids[index] if diff_ids is not None else None, platform)
        for index, layer in enumerate(manifest.layers)
    ]


def _fits(has: Platform, wanted: Sequence[Platform]) -> bool:
    return not wanted or any(platform_matches(has, w) for w in wanted)


def _retryable(report: ImageReport) -> bool:
    """Whether another try might see more: then the report is not kept."""
    return any(layer.error for layer in report.layers)


def _failed(descriptor: Descriptor, error: ScannerError) -> ImageReport:
    issue = FileIssue(path=descriptor.digest, reason=str(error), code=error.code)
    return ImageReport(
        digest=descriptor.digest,
        image_id="",
        platform=descriptor.platform or Platform(os="unknown", architecture="unknown"),
        state=ScanState.FAILED,
        coverage=Coverage(
            layers_count=0,
            layers_scanned_count=0,
            compressed_bytes=0,
            uncompressed_bytes=0,
            entries_count=0,
            files_count=0,
            read_count=0,
            distribution_recognised=False,
            ecosystems={},
            issues=(issue,),
            limits=(),
        ),
        error=str(error),
    )
