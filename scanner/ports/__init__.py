"""The contracts between the pipeline and everything that plugs into it. One file per kind."""

from scanner.ports.analyzer import (
    Analyzer,
    Entry,
    EntryAnalyzer,
    FileAnalyzer,
    Hit,
    ImageAnalyzer,
    ImageView,
    Interest,
    LayerFile,
    Output,
    Pattern,
    PatternAnalyzer,
)
from scanner.ports.limits import Limits
from scanner.ports.progress import LayerProgress, Progress, SilentProgress
from scanner.ports.report import ReportFormat
from scanner.ports.source import BlobStream, ImageSource, SourceFactory, SourceOptions
from scanner.ports.store import ReportStore

__all__ = [
    "Analyzer",
    "BlobStream",
    "Entry",
    "EntryAnalyzer",
    "FileAnalyzer",
    "Hit",
    "ImageAnalyzer",
    "ImageSource",
    "ImageView",
    "Interest",
    "LayerFile",
    "LayerProgress",
    "Limits",
    "Output",
    "Pattern",
    "PatternAnalyzer",
    "Progress",
    "ReportFormat",
    "ReportStore",
    "SilentProgress",
    "SourceFactory",
    "SourceOptions",
]
