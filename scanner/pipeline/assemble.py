"""From layer reports to an image report: merge, image analyzers, coverage, state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from scanner.errors import InputError
from scanner.layers.interest import InterestTable
from scanner.layers.merge import MergedImage, MergeLayer, finish, merge, owners_of
from scanner.model import (
    Coverage,
    Descriptor,
    Distribution,
    FileIssue,
    Finding,
    ImageConfig,
    ImageReport,
    Kind,
    LayerSummary,
    OwnedFiles,
    Package,
    ScanState,
    Severity,
)
from scanner.model.finding import fingerprint_of
from scanner.pipeline.context import ScanContext
from scanner.pipeline.extract import ExtractedLayer
from scanner.pipeline.texts import config_texts, hidden_labels, label_keys, redacted
from scanner.ports import FileAnalyzer, ImageAnalyzer, Output

Item = TypeVar("Item", Package, Finding)

_CONFIG_ANALYZERS = "config/"
_KEY_RULES = frozenset({"crypto/weak-private-key", "crypto/private-key-in-image"})


def build_steps(config: ImageConfig, layers_count: int) -> list[str]:
    """Return the history entry that made each layer; empty texts where history and layers disagree."""
    steps = [h.created_by for h in config.history if not h.empty_layer]
    return steps if len(steps) == layers_count else [""] * layers_count


def assemble(
    descriptor: Descriptor,
    image_id: str,
    config: ImageConfig,
    layers: Sequence[ExtractedLayer],
    context: ScanContext,
    *,
    has_config: bool,
    source_issues: Sequence[FileIssue],
) -> ImageReport:
    """Return the report of one image. ``has_config`` is False for a bare directory, whose config is made up."""
    merged = merge(
        [MergeLayer(one.job.index, one.report.digest, "", one.report) for one in layers], config
    )
    outputs = _image_outputs(merged, context, has_config=has_config)
    hidden: dict[str, str] = {}
    if has_config:
        of_config, hidden = _config_outputs(config, context)
        outputs += of_config
    distribution = next((o for o in outputs if isinstance(o, Distribution)), None)
    placed = (_placed(o, merged.layer_of) for o in outputs if isinstance(o, Finding))
    findings = (*merged.findings, *placed)
    shown = redacted(config, findings, hidden)
    steps = build_steps(shown, len(layers))
    issues = [o for o in outputs if isinstance(o, FileIssue)]
    added = [_placed(o, merged.layer_of) for o in outputs if isinstance(o, Package)]
    owned = (*merged.owned, *(o for o in outputs if isinstance(o, OwnedFiles)))
    packages = finish((*merged.packages, *added), owned, distribution)
    coverage = _coverage(
        layers,
        merged,
        packages,
        (*source_issues, *merged.issues, *issues, *_unread_links(merged, context)),
        distribution,
    )
    state = _state(coverage)
    return ImageReport(
        digest=descriptor.digest,
        image_id=image_id,
        platform=config.platform,
        state=state,
        coverage=coverage,
        distribution=distribution,
        config=shown if has_config else None,
        layers=tuple(_summary(one, steps[one.job.index]) for one in layers),
        packages=tuple(sorted(packages, key=lambda p: (p.purl_type, p.name, p.version, p.path))),
        findings=_sorted(_finished(f, steps) for f in _published(findings, owned, packages)),
        error=_error(layers) if state is ScanState.FAILED else "",
    )


def _image_outputs(merged: MergedImage, context: ScanContext, *, has_config: bool) -> list[Output]:
    """Run what looks at the whole image; a failing analyzer is an issue, never a failed scan."""
    outputs: list[Output] = []
    for analyzer in context.analyzers:
        if not isinstance(analyzer, ImageAnalyzer):
            continue
        if not has_config and analyzer.name.startswith(_CONFIG_ANALYZERS):
            continue
        try:
            outputs += analyzer.inspect(merged)
        except InputError as error:
            outputs.append(
                _issue(analyzer.name, getattr(error, "path", ""), str(error), error.code)
            )
        except Exception as error:  # noqa: BLE001 - a defect of ours; its message may quote a file
            reason = f"analyzer failed: {type(error).__name__}"
            outputs.append(_issue(analyzer.name, "", reason, "analyzer-failed"))
    return outputs


def _config_outputs(
    config: ImageConfig, context: ScanContext
) -> tuple[list[Output], dict[str, str]]:
    """Return what is in the texts of a config, and what to show for the label keys that hold a secret."""
    scan = context.layer_scanner.scan_texts
    of_keys = [o for o in scan(label_keys(config)) if isinstance(o, Finding)]
    hidden = hidden_labels(config, of_keys)
    outputs = scan(config_texts(config, hidden))
    told = {fingerprint_of(o) for o in outputs if isinstance(o, Finding)}
    return [*outputs, *(o for o in of_keys if fingerprint_of(o) not in told)], hidden


def _issue(analyzer: str, path: str, reason: str, code: str) -> FileIssue:
    return FileIssue(path=path, reason=reason[:300], code=code, analyzer=analyzer)


def _published(
    findings: Sequence[Finding], owned: Sequence[OwnedFiles], packages: Sequence[Package]
) -> list[Finding]:
    """Lower what a package of the distribution ships: it is public, and no secret of the image's owner.

    What its own words call test data is only mentioned. Only below ``usr`` but ``usr/local``: files elsewhere (``etc``) are there to be edited.
    """
    shipped = {
        f.path
        for f in findings
        if f.path.startswith("usr/") and not f.path.startswith("usr/local/") and not f.deleted_later
    }
    owners = owners_of(shipped, owned, packages)
    return [
        msgspec.structs.replace(
            f,
            severity=min(f.severity, _shipped_severity(f), key=lambda s: s.rank),
            evidence={**f.evidence, "shipped_by": owners[f.path]},
        )
        if f.path in owners and (f.kind is Kind.SECRET or f.rule_id in _KEY_RULES)
        else f
        for f in findings
    ]


def _shipped_severity(finding: Finding) -> Severity:
    return Severity.INFO if finding.evidence.get("context") else Severity.LOW


def _finished(finding: Finding, steps: Sequence[str]) -> Finding:
    step = "" if finding.layer_index is None else steps[finding.layer_index]
    fingerprint = finding.fingerprint or fingerprint_of(finding)
    return msgspec.structs.replace(finding, build_step=step, fingerprint=fingerprint)


def _placed(item: Item, layer_of: Mapping[str, tuple[str, int]]) -> Item:
    """Return what an image analyzer yielded with the layer of its file, if it is about one."""
    if item.layer or item.path not in layer_of:
        return item
    digest, index = layer_of[item.path]
    return msgspec.structs.replace(item, layer=digest, layer_index=index)


def _unread_links(merged: MergedImage, context: ScanContext) -> Iterable[FileIssue]:
    chosen = [a for a in context.analyzers if isinstance(a, FileAnalyzer)]
    literals = [g for a in chosen for g in a.interest.globs if not set("*?[") & set(g)]
    return merged.unread_links(InterestTable(chosen).matches, literals)


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(
        sorted(findings, key=lambda f: (-f.severity.rank, f.kind, f.rule_id, f.path, f.line or 0))
    )


def _summary(one: ExtractedLayer, step: str) -> LayerSummary:
    report = one.report
    return LayerSummary(
        digest=report.digest,
        index=one.job.index,
        media_type=one.job.descriptor.media_type,
        compression=report.compression,
        diff_id=report.diff_id,
        compressed_bytes=report.compressed_bytes,
        uncompressed_bytes=report.uncompressed_bytes,
        entries_count=report.entries_count,
        build_step=step,
        cached=one.cached,
        error=report.error,
    )


def _coverage(
    layers: Sequence[ExtractedLayer],
    merged: MergedImage,
    packages: Sequence[Package],
    issues: Iterable[FileIssue],
    distribution: Distribution | None,
) -> Coverage:
    reports = [one.report for one in layers]
    broken = [
        FileIssue(path="", reason=r.error, code=r.error_code, layer=r.digest)
        for r in reports
        if r.error
    ]
    return Coverage(
        layers_count=len(reports),
        layers_scanned_count=sum(not r.error for r in reports),
        compressed_bytes=sum(r.compressed_bytes for r in reports),
        uncompressed_bytes=sum(r.uncompressed_bytes for r in reports),
        entries_count=sum(r.entries_count for r in reports),
        files_count=sum(r.files_count for r in reports),
        read_count=sum(r.read_count for r in reports),
        distribution_recognised=distribution is not None,
        ecosystems=dict(sorted(Counter(p.purl_type for p in packages).items())),
        issues=(*broken, *issues),
        limits=merged.limits,
    )


def _error(layers: Sequence[ExtractedLayer]) -> str:
    reason = next((one.report.error for one in layers if one.report.error), "every layer is empty")
    return f"no layer could be scanned: {reason}"


def _state(coverage: Coverage) -> ScanState:
    if coverage.layers_count and not coverage.uncompressed_bytes:
        return ScanState.FAILED
    if coverage.issues or coverage.limits:
        return ScanState.PARTIAL
    return ScanState.COMPLETE
