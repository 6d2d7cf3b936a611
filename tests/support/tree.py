"""Layers for merge tests: short entries in the order of an archive, as the walker would report them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.layers.merge import MergedImage, MergeLayer, merge
from scanner.model import ImageConfig, LayerReport, LayerTree, Package

_LETTERS = {"dir": "d", "symlink": "l", "file": "f", "hardlink": "f"}


@dataclass(frozen=True)
class Entry:
    kind: str
    path: str
    target: str = ""


def directory(path: str) -> Entry:
    return Entry("dir", path)


def file(path: str) -> Entry:
    return Entry("file", path)


def symlink(path: str, target: str) -> Entry:
    return Entry("symlink", path, target)


def hardlink(path: str, target: str) -> Entry:
    return Entry("hardlink", path, target)


def whiteout(path: str) -> Entry:
    return Entry("whiteout", path)


def opaque(path: str) -> Entry:
    return Entry("opaque", path)


def tree(entries: Iterable[Entry]) -> LayerTree:
    """Return the tree of ``entries``; runs of one directory make one group."""
    groups: list[tuple[str, list[str]]] = []
    entries = list(entries)
    for entry in entries:
        if entry.kind in _LETTERS:
            parent, _, name = entry.path.rpartition("/")
            if not groups or groups[-1][0] != parent:
                groups.append((parent, []))
            groups[-1][1].append(_LETTERS[entry.kind] + name)
    return LayerTree(
        names="\0".join(f"{parent}\0{'/'.join(names)}" for parent, names in groups).encode(),
        symlinks=tuple((e.path, e.target) for e in entries if e.kind == "symlink"),
        hardlinks=tuple((e.path, e.target) for e in entries if e.kind == "hardlink"),
        whiteouts=tuple(e.path for e in entries if e.kind == "whiteout"),
        opaques=tuple(e.path for e in entries if e.kind == "opaque"),
    )


def report(entries: Iterable[Entry] = (), **parts: Any) -> LayerReport:
    """Return a layer report with this tree and these outputs."""
    entries = list(entries)
    return LayerReport(
        digest="sha256:0",
        diff_id="sha256:0",
        compressed_bytes=1,
        uncompressed_bytes=1,
        compression="gzip",
        entries_count=len(entries),
        files_count=len(entries),
        read_count=0,
        tree=tree(entries),
        **parts,
    )


def content(index: int, path: str) -> Package:
    """Return a package that stands for the content of the file that layer ``index`` has at ``path``."""
    return Package(purl_type="generic", name=f"{index}:{path}", version="1", path=path)


def package_report(index: int, entries: Sequence[Entry]) -> LayerReport:
    """Return a report with one package for each file of ``entries``."""
    return report(
        entries, packages=tuple(content(index, e.path) for e in entries if e.kind == "file")
    )


def merged(*reports: LayerReport, config: ImageConfig | None = None) -> MergedImage:
    """Merge ``reports``, oldest first, as layers L0, L1 …"""
    layers = [MergeLayer(i, f"L{i}", f"RUN step {i}", one) for i, one in enumerate(reports)]
    return merge(layers, config or ImageConfig())


def merged_entries(*layers: Sequence[Entry]) -> MergedImage:
    """Merge layers of entries whose files each hold one package."""
    return merged(*(package_report(i, entries) for i, entries in enumerate(layers)))


def contents(image: MergedImage) -> dict[str, str]:
    """Return what is visible: path to ``layer:path as written``."""
    return {p.path: p.name for p in image.packages}
