"""A scan report as rows: pure, and every text as both databases can keep it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from scanner.model import Coverage, Finding, ImageReport, Package, ScanReport, ScanState, Severity
from scanner.store._dialect import clean

WORST: Final = (ScanState.COMPLETE, ScanState.PARTIAL, ScanState.FAILED)
_DIGEST_CHARS: Final = 160
_ERROR_CHARS: Final = 2_000
_SUMS: Final = (*(f"{severity.value}_count" for severity in Severity), "packages_count")


def name_hash(purl_type: str, namespace: str, name: str) -> str:
    """Return what finds every version of a package (40 hex digits); of cleaned texts."""
    return _hash(f"{purl_type}\0{namespace}\0{name}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def image_row(
    report: ScanReport, image: ImageReport, *, reference: str, report_fingerprint: str, at_ms: int
) -> dict[str, Any]:
    """Return the row of one image in ``images``, without its key."""
    severities = Counter(finding.severity for finding in image.findings)
    is_all = len(report.images) == 1 and report.digest == image.digest
    return {
        "digest": clean(image.digest, _DIGEST_CHARS),
        "kind": "image",
        "platform": clean(str(image.platform), 255),
        "config_digest": clean(image.image_id, _DIGEST_CHARS),
        "state": image.state.value,
        **{f"{severity.value}_count": severities[severity] for severity in Severity},
        "packages_count": len(image.packages),
        "coverage": _json(_counted(image.coverage)),
        "error": clean(image.error, _ERROR_CHARS),
        "reference": clean(reference, 1_024),
        "fingerprint": report.fingerprint,
        "report_fingerprint": report_fingerprint,
        "envelope": _envelope(
            report, digest=image.digest, state=image.state, reference=reference,
            skipped=report.skipped if is_all else (),
        ),
        "scanned_at": at_ms,
    }  # fmt: skip


def index_row(
    report: ScanReport,
    images: Iterable[Mapping[str, Any]],
    *,
    reference: str,
    is_whole: bool,
    at_ms: int,
) -> dict[str, Any]:
    """Return the row of an index from its images' rows as they are kept.

    ``is_whole``: every runnable platform was asked for; otherwise the index cannot be complete.
    """
    rows = list(images)
    states = [ScanState(row["state"]) for row in rows]
    if not is_whole or any(issue.code != "skipped" for issue in report.skipped):
        states.append(ScanState.PARTIAL)
    state = max(states, key=WORST.index, default=ScanState.FAILED)
    coverage = _summed(msgspec.json.decode(row["coverage"]) for row in rows)
    coverage["skipped_count"] = len(report.skipped)
    errors = "; ".join(f"{row['platform']}: {row['error']}" for row in rows if row["error"])
    return {
        "digest": clean(report.digest, _DIGEST_CHARS),
        "kind": "index",
        "platform": "",
        "config_digest": "",
        "state": state.value,
        **{name: sum(row[name] for row in rows) for name in _SUMS},
        "coverage": _json(coverage),
        "error": clean(errors, _ERROR_CHARS),
        "reference": clean(reference, 1_024),
        "fingerprint": report.fingerprint,
        "report_fingerprint": "",
        "envelope": _envelope(report, state=state, reference=reference),
        "scanned_at": at_ms,
    }


@dataclass(frozen=True)
class Contents:
    """Rows of what an image holds, but for the keys that only the database knows."""

    packages: dict[str, dict[str, Any]]
    """Each distinct one by its ``purl_hash``."""
    uses: list[tuple[str, dict[str, Any]]]
    """``purl_hash`` and row of ``image_packages``, in the report's order."""
    findings: list[dict[str, Any]]
    """Worst first."""
    layers: list[dict[str, Any]]
    """Oldest first."""


def contents_of(image: ImageReport) -> Contents:
    """Return an image's rows; costs 40 µs a package, so do it before a transaction begins."""
    rows = [_package_row(package) for package in image.packages]
    uses = [
        (
            row["purl_hash"],
            {
                "position": position,
                "path": clean(package.path),
                "layer_index": package.layer_index,
                "declared": package.declared,
            },
        )
        for position, (row, package) in enumerate(zip(rows, image.packages, strict=True))
    ]
    layers = [
        {"position": position, "layer_digest": clean(layer.digest, _DIGEST_CHARS)}
        for position, layer in enumerate(image.layers)
    ]
    packages = {row["purl_hash"]: row for row in rows}
    return Contents(packages, uses, _finding_rows(image.findings), layers)


def _package_row(package: Package) -> dict[str, Any]:
    purl_type = clean(package.purl_type, 64)
    namespace, name, purl = clean(package.namespace), clean(package.name), clean(package.purl)
    return {
        "purl_hash": _hash(purl),
        "name_hash": name_hash(purl_type, namespace, name),
        "purl_type": purl_type,
        "namespace": namespace,
        "name": name,
        "version": clean(package.version),
        "purl": purl,
    }


def _finding_rows(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    ordered = sorted(findings, key=lambda finding: -finding.severity.rank)
    return [
        {
            "position": position,
            "fingerprint": clean(finding.fingerprint, 64),
            "rule_id": clean(finding.rule_id, 255),
            "kind": finding.kind.value,
            "severity": finding.severity.rank,
            "path": clean(finding.path),
            "package": clean(finding.package),
            "deleted_later": finding.deleted_later,
            "data": _json(finding),
        }
        for position, finding in enumerate(ordered)
    ]


def child_rows(key: int, images: Iterable[ImageReport]) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``index_children`` of an index, in its order."""
    for position, image in enumerate(images):
        yield {
            "index_key": key,
            "position": position,
            "child_digest": clean(image.digest, _DIGEST_CHARS),
            "platform": clean(str(image.platform), 255),
        }


def _envelope(report: ScanReport, **changes: Any) -> str:
    """Return the report as JSON without its images: those are kept apart."""
    return _json(msgspec.structs.replace(report, images=(), **changes))


def _json(value: object) -> str:
    """Return JSON in one line; it has no NUL, whatever the value's texts have."""
    return msgspec.json.encode(value).decode()


def _counted(coverage: Coverage) -> dict[str, Any]:
    """Return coverage with counts of its issues and limits in place of them."""
    values: dict[str, Any] = msgspec.to_builtins(coverage)
    values["issues_count"] = len(values.pop("issues"))
    values["limits_count"] = len(values.pop("limits"))
    return values


def _summed(coverages: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the coverage of several images as one: sums, and what holds for all or for any of them."""
    total: dict[str, Any] = {}
    for coverage in coverages:
        for name, value in coverage.items():
            total[name] = _added(total[name], value) if name in total else value
    return total


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, bool):
        return one and other
    if isinstance(one, dict):
        return dict(Counter(one) + Counter(other))
    if isinstance(one, list):
        return sorted({*one, *other})
    return one + other
