"""Merge the reports of an image's layers: what is visible in the end, and what can still be pulled.

The rules, oldest layer first:

* whiteouts and opaque marks hide content of *older* layers only, wherever they stand in the archive;
* the directory of an entry is resolved through the symlinks of the image so far, inside its root; its
  base name is taken as it is;
* a directory merges with a directory; everything else replaces what was there, a whole subtree too;
* a hard link shares its target's content, which stays alive while any of its names is visible.

Packages, kept files, file issues and findings go away with their file. Findings of secrets do not: a
layer can be pulled by itself, so they stay and say that a newer layer hides them.

Source: https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from scanner.errors import MalformedFileError
from scanner.layers._identity import distinct_findings, distinct_packages, without_compiled
from scanner.layers._owners import finish, owners_of
from scanner.layers._tree import Applied, MergedTree, Node
from scanner.model import (
    FileIssue,
    Finding,
    ImageConfig,
    Kept,
    Kind,
    LayerReport,
    LimitHit,
    OwnedFiles,
    Package,
)
from scanner.model.finding import fingerprint_of

__all__ = ["MergeLayer", "MergedImage", "finish", "merge", "owners_of"]

_INSIDE = "!/"
_CONFIG = "config:"

Item = TypeVar("Item", Package, Finding, Kept, OwnedFiles, FileIssue)


@dataclass(frozen=True, slots=True)
class MergeLayer:
    """One layer to merge. ``digest`` and ``build_step`` are the image's; index 0 is the oldest."""

    index: int
    digest: str
    build_step: str
    report: LayerReport


@dataclass(frozen=True, slots=True)
class MergedImage:
    """The merged image; satisfies ``scanner.ports.ImageView``."""

    config: ImageConfig
    packages: tuple[Package, ...]
    """Visible ones, with layer; paths are canonical (symlinked directories followed)."""
    findings: tuple[Finding, ...]
    """Visible ones, and secrets of every layer; with layer, build step and fingerprint."""
    kept_files: tuple[Kept, ...]
    owned: tuple[OwnedFiles, ...]
    issues: tuple[FileIssue, ...]
    limits: tuple[LimitHit, ...]
    layer_of: dict[str, tuple[str, int]]
    """Digest and index of the layer that holds each visible file with a package or kept bytes, by canonical path."""
    _layers: tuple[MergeLayer, ...]
    _tree: MergedTree
    _kept_by_place: dict[tuple[str, str], Kept] = field(default_factory=dict)
    """By key and canonical path, one for each name of the file."""

    @property
    def symlinks(self) -> dict[str, str]:
        """Visible symlinks: canonical path to target as written."""
        return self._tree.symlinks()

    def resolve(self, path: str) -> str:
        """Return ``path`` with every symlink followed (at most 40), inside the root."""
        return self._tree.resolve(path)

    def kept(self, key: str) -> tuple[Kept, ...]:
        """Return the visible kept files with this key, sorted by path."""
        return tuple(sorted((k for k in self.kept_files if k.key == key), key=lambda k: k.path))

    def kept_at(self, key: str, path: str) -> Kept | None:
        """Return the kept file that ``path`` leads to after following symlinks."""
        return self._kept_by_place.get((key, self.resolve(path)))

    def unread_links(
        self, matches: Callable[[str], bool], literals: Iterable[str] = ()
    ) -> tuple[FileIssue, ...]:
        """Return an issue for each link under a wanted name to a file that no analyzer reads.

        ``matches`` tells whether some analyzer wants a file at a path. ``literals`` are paths that
        analyzers want by their full name; they may also be hidden behind a linked *directory*.
        """
        links = [(path, self.resolve(path)) for path in (*self.symlinks, *literals)]
        suspects = {p: t for p, t in links if p != t and matches(p) and not matches(t)}
        tree = _apply(self._layers, set(suspects.values()))[0] if suspects else self._tree
        found = {p: node for p, t in suspects.items() if (node := tree.node_at(t))}
        found |= {p: node for p, node in self._tree.aliases if self._tree.node_at(p) is node}
        return tuple(
            FileIssue(
                path=path,
                reason=f"a link to {node.path}, which no analyzer reads",
                code="skipped",
            )
            for path, node in sorted(found.items(), key=lambda f: f[0])
            if node.kind == "f" and matches(path) and not matches(node.path)
        )


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the items of one layer are in the merged image."""

    applied: Applied
    names: dict[Node, list[str]]

    def all_of(self, path: str) -> list[str]:
        """Return the canonical paths of the item at a written path, the best first; none if it is hidden."""
        if path.startswith(_CONFIG):
            return [path]
        nodes = [(h, *n) for h in _homes(path) if (n := self.applied.nodes.get(h))]
        if not nodes:
            return [path]  # not a file of the layer: nothing can hide it
        for home, canonical, node in nodes:
            inside = path[len(home) :]
            names = sorted(self.names.get(node, ()), key=lambda n: (n != canonical, n))
            if names:
                return [name + inside for name in names]
        return []

    def visible(self, items: Iterable[Item]) -> Iterator[tuple[Item, list[str]]]:
        """Yield the visible items, each with its canonical paths."""
        for item in items:
            if paths := self.all_of(item.path):
                yield item, paths


def _homes(path: str) -> list[str]:
    """Return the files an item may live in: its path, and the archives that the path goes through."""
    homes = [path]
    at = path.rfind(_INSIDE)
    while at > 0:
        homes.append(path[:at])
        at = path.rfind(_INSIDE, 0, at)
    return homes


def _item_paths(report: LayerReport) -> set[str]:
    every = (report.packages, report.findings, report.kept, report.owned, report.issues)
    return {home for items in every for item in items for home in _homes(item.path)}


def _apply(
    layers: Sequence[MergeLayer], watched: Iterable[str]
) -> tuple[MergedTree, list[Applied]]:
    tree = MergedTree(watched)
    return tree, [tree.apply(one.report.tree, _item_paths(one.report)) for one in layers]


def _replace(item: Item, **changes: Any) -> Item:
    return msgspec.structs.replace(item, **changes)


def _findings(layer: MergeLayer, places: _Places) -> Iterator[Finding]:
    for finding in layer.report.findings:
        paths = places.all_of(finding.path)
        if not paths and finding.kind is not Kind.SECRET:
            continue
        placed = _replace(
            finding,
            path=paths[0] if paths else finding.path,
            deleted_later=not paths,
            layer=layer.digest,
            layer_index=layer.index,
            build_step=layer.build_step,
        )
        yield _replace(placed, fingerprint=fingerprint_of(placed))


def _packages(layer: MergeLayer, places: _Places) -> Iterator[Package]:
    for package, paths in places.visible(layer.report.packages):
        yield _replace(package, path=paths[0], layer=layer.digest, layer_index=layer.index)


def _issues(layer: MergeLayer, places: _Places) -> Iterator[FileIssue]:
    broken = [
        FileIssue(
            path=path,
            reason=f"a hard link to {target}, which does not exist",
            code=MalformedFileError.code,
        )
        for path, target in places.applied.broken
    ]
    for issue, paths in places.visible((*layer.report.issues, *broken)):
        yield _replace(issue, path=paths[0], layer=layer.digest)


def merge(layers: Sequence[MergeLayer], config: ImageConfig) -> MergedImage:
    """Return the merged image of ``layers``, oldest first. Outputs keep the order of layers and reports.

    Raises:
        LimitExceededError: directories or links without number; only a hostile image has them.
    """
    tree, applied = _apply(layers, ())
    if tree.missing:  # hard links to older files that nothing else watches: look for those too
        tree, applied = _apply(layers, tree.missing)
    names = tree.names_of({node for one in applied for _, node in one.nodes.values()})
    pairs = [(layer, _Places(one, names)) for layer, one in zip(layers, applied, strict=True)]
    kept = [(layer, *one) for layer, places in pairs for one in places.visible(layer.report.kept)]
    packages = distinct_packages(p for pair in pairs for p in _packages(*pair))
    layer_of = {p.path: (p.layer, p.layer_index) for p in packages if p.layer_index is not None}
    layer_of |= {path: (layer.digest, layer.index) for layer, _, paths in kept for path in paths}
    return MergedImage(
        config=config,
        packages=packages,
        findings=distinct_findings(
            without_compiled(tuple(f for pair in pairs for f in _findings(*pair)))
        ),
        kept_files=tuple(_replace(item, path=paths[0]) for _, item, paths in kept),
        owned=tuple(
            _replace(item, path=paths[0])
            for layer, places in pairs
            for item, paths in places.visible(layer.report.owned)
        ),
        issues=tuple(issue for pair in pairs for issue in _issues(*pair)),
        limits=tuple(
            msgspec.structs.replace(hit, layer=layer.digest)
            for layer in layers
            for hit in layer.report.limits
        ),
        layer_of=layer_of,
        _layers=tuple(layers),
        _tree=tree,
        _kept_by_place={
            (item.key, path): _replace(item, path=path) for _, item, paths in kept for path in paths
        },
    )
