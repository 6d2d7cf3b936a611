"""The frozen nouns every other package speaks in. No I/O."""

from scanner.model.advisory import (
    Advisory,
    Affected,
    AffectedRange,
    Enrichment,
    Event,
    EventKind,
    FixState,
    Score,
)
from scanner.model.digest import DiffID, Digest, digest_of, parse_diff_id, parse_digest
from scanner.model.finding import Finding, Kind, Severity
from scanner.model.kept import Kept, OwnedFiles
from scanner.model.oci import Descriptor, HistoryEntry, ImageConfig, Index, Manifest, Platform
from scanner.model.package import Distribution, Package
from scanner.model.reference import (
    Reference,
    normalise_platform,
    parse_platform,
    parse_reference,
)
from scanner.model.report import (
    AdvisoryState,
    Coverage,
    FileIssue,
    ImageReport,
    LayerReport,
    LayerSummary,
    LayerTree,
    LimitHit,
    ScanReport,
    ScanState,
)
from scanner.model.verdict import Decision, Reason, ReasonCode, Verdict, Waived
from scanner.model.vulnerability import VulnerabilityFacts, vulnerability_facts

__all__ = [
    "Advisory",
    "AdvisoryState",
    "Affected",
    "AffectedRange",
    "Coverage",
    "Decision",
    "Descriptor",
    "DiffID",
    "Digest",
    "Distribution",
    "Enrichment",
    "Event",
    "EventKind",
    "FileIssue",
    "Finding",
    "FixState",
    "HistoryEntry",
    "ImageConfig",
    "ImageReport",
    "Index",
    "Kept",
    "Kind",
    "LayerReport",
    "LayerSummary",
    "LayerTree",
    "LimitHit",
    "Manifest",
    "OwnedFiles",
    "Package",
    "Platform",
    "Reason",
    "ReasonCode",
    "Reference",
    "ScanReport",
    "ScanState",
    "Score",
    "Severity",
    "Verdict",
    "VulnerabilityFacts",
    "Waived",
    "digest_of",
    "normalise_platform",
    "parse_diff_id",
    "parse_digest",
    "parse_platform",
    "parse_reference",
    "vulnerability_facts",
]
