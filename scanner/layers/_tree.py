"""The merged file tree, kept only where it matters: items, links, whiteouts and what leads to them.

Layers are applied oldest first. A directory of a layer is resolved once; its names are looked at one by
one only where it holds something watched, so that the hundred thousand other files cost next to nothing.

Paths are texts without leading slash. A *written* path is as a layer spells it; a *canonical* path has
every symlink of its directories followed. A node never moves, so its canonical path is good for life.

Source: https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from scanner.errors import LimitExceededError
from scanner.layers._groups import by_directory, directories_among, groups, join, split
from scanner.model import LayerTree

_LINKS_COUNT: Final = 40
_STEPS_COUNT: Final = 1_024
"""Parts walked for one link and those it leads through; more is taken for a loop."""
_TARGET_CHARS: Final = 4_096
_PATH_CHARS: Final = 4 * 4_096
"""A longer path names nothing (the walker refuses to read one); ``\\xff`` stands for one byte."""
_DEPTH_COUNT: Final = 256
_MEMO_BYTES: Final = 32 * 1024 * 1024
_MEMO_ENTRY_BYTES: Final = 256
"""Of a resolved directory besides its text: the object, its places in a dictionary and a set."""
_TREE_CHARS: Final = 64 * 1024 * 1024
"""Of all paths of directories that matter: a million of ordinary length."""
_LAYER_STEPS_COUNT: Final = 20_000_000
"""Parts looked up for one layer: a few for each of its directories, but links can be made to cost more."""
_NO_NAMES: Final[frozenset[str]] = frozenset()
_NO_NODES: Final[Mapping[str, Node]] = {}


@dataclass(slots=True, eq=False)
class Node:
    """What a name stands for; hard links share one."""

    kind: str
    """``d`` directory, ``l`` symlink, ``f`` anything else."""
    path: str
    """As written by the layer that holds its content."""
    target: str = ""
    """Of a symlink, as written."""


@dataclass(slots=True)
class Applied:
    """What one layer has put where."""

    nodes: dict[str, tuple[str, Node]] = field(default_factory=dict)
    """Watched written path to canonical path and node."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Hard links (written path, target) whose target is not there."""


def clean(path: str) -> str:
    """Return ``path`` relative to the root, without empty parts, ``.`` and ``..``."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


class MergedTree:
    """The tree after some layers. ``watched`` are canonical paths to follow besides what layers name."""

    def __init__(self, watched: Iterable[str] = ()) -> None:
        self._directories: dict[str, dict[str, Node]] = {"": {}}
        """Children that matter, by canonical path."""
        self._watched = by_directory(watched)
        self._memo = {"": ""}
        """Written directory to canonical one, while no link changes."""
        self._real = {""}
        """The canonical ones."""
        self._memo_bytes = 0
        self._tree_chars = 0
        self._steps = 0
        self._blocked = False
        """Whether some of them lead through what is no directory."""
        self.aliases: list[tuple[str, Node]] = []
        """Hard links: canonical path and the node it was linked to."""
        self.missing: set[str] = set()
        """Canonical paths that hard links name and that were not watched, or are not there."""

    # looking

    def node_at(self, path: str) -> Node | None:
        """Return the watched node at ``path``; symlinks are followed in its directory, not in its last part."""
        directory, name = split(path)
        return self._children(self._resolve(directory)).get(name)

    def resolve(self, path: str) -> str:
        """Return ``path`` with every symlink followed, the last part too; one that loops stays as it is."""
        return self._resolve(clean(path))

    def names_of(self, nodes: Collection[Node]) -> dict[Node, list[str]]:
        """Return the canonical paths under which ``nodes`` are visible; hidden nodes are left out."""
        found: dict[Node, list[str]] = {}
        for directory, children in self._directories.items():
            for name, node in children.items():
                if node in nodes:
                    found.setdefault(node, []).append(join(directory, name))
        return found

    def symlinks(self) -> dict[str, str]:
        """Return every visible symlink: canonical path to target as written."""
        return {
            join(directory, name): node.target
            for directory, children in self._directories.items()
            for name, node in children.items()
            if node.kind == "l"
        }

    def _children(self, directory: str) -> Mapping[str, Node]:
        return self._directories.get(directory, _NO_NODES)

    # resolving

    def _resolve(self, directory: str) -> str:
        """Return the canonical path of a written directory, which need not exist."""
        if len(directory) > _PATH_CHARS or directory.count("/") > _DEPTH_COUNT:
            return directory
        if self._memo_bytes > _MEMO_BYTES:
            self._forget_resolved()
        memo = self._memo
        path, todo = directory, list[str]()
        while (known := memo.get(path)) is None:
            path, name = split(path)
            todo.append(name)
        self._count(len(todo))
        while todo:
            name = todo.pop()
            path = join(path, name)
            known = self._step(known, name)
            if known == path:
                known = path  # one text for both
            memo[path] = known
            self._real.add(known)
            self._memo_bytes += _MEMO_ENTRY_BYTES + len(path)
        return known

    def _step(self, directory: str, name: str) -> str:
        node = self._children(directory).get(name)
        if node is not None and node.kind == "l":
            followed = self._follow(directory, node.target)
            if followed is not None:
                return followed
        self._blocked = self._blocked or (node is not None and node.kind != "d")
        return join(directory, name)

    def _follow(self, directory: str, target: str) -> str | None:
        """Return where a symlink in a canonical directory leads, or None for a loop."""
        if not 0 < len(target) <= _TARGET_CHARS:
            return None
        done = [] if target[0] == "/" else [p for p in directory.split("/") if p]
        todo = target.split("/")[::-1]
        links = 1
        for steps in range(_STEPS_COUNT):
            if not todo:
                self._count(steps)
                found = "/".join(done)
                return found if len(found) <= _PATH_CHARS else None
            part = todo.pop()
            if part == "..":
                del done[-1:]
                continue
            if part in {"", "."}:
                continue
            node = self._children("/".join(done)).get(part)
            if node is None or node.kind != "l":
                self._blocked = self._blocked or (node is not None and node.kind != "d")
                done.append(part)
                continue
            links += 1
            if links > _LINKS_COUNT or not 0 < len(node.target) <= _TARGET_CHARS:
                break
            if node.target[0] == "/":
                done = []
            todo += node.target.split("/")[::-1]
        self._count(_STEPS_COUNT)
        return None

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _LAYER_STEPS_COUNT:
            raise LimitExceededError(
                "merged_steps_count", _LAYER_STEPS_COUNT, self._steps, setting=False
            )

    def _forget_resolved(self) -> None:
        self._memo = {"": ""}
        self._real = {""}
        self._memo_bytes = 0
        self._blocked = False

    # changing

    def apply(self, layer: LayerTree, watched: Iterable[str]) -> Applied:
        """Apply one layer on top; ``watched`` are written paths whose nodes are wanted.

        Raises:
            LimitExceededError: the tree of what matters is absurdly large, or its links absurdly tangled.
        """
        self._steps = 0
        symlinks = dict(layer.symlinks)
        hardlinks = {path: clean(target) for path, target in layer.hardlinks}
        own = by_directory((*watched, *symlinks, *hardlinks, *hardlinks.values()))
        older = {target: self.node_at(target) for target in hardlinks.values()}
        self._delete(layer)
        applied = Applied()
        late: list[tuple[str, str, Node]] = []
        for directory, names in groups(layer):
            canonical = self._memo.get(directory)
            if canonical is None:
                canonical = self._resolve(directory)
                if self._blocked:
                    self._unblock(canonical)
            mine = own.get(directory, _NO_NAMES)
            for name in self._that_matter(canonical, names, mine):
                path = join(directory, name[1:])
                node = Node(name[:1], path, symlinks.get(path, "") if name[0] == "l" else "")
                if path in hardlinks and node.kind == "f":
                    target = hardlinks[path]
                    linked = self.node_at(target) or older[target]
                    if linked is None or linked.kind == "d":
                        late.append((path, target, node))
                    else:
                        node = linked
                    self.aliases.append((join(canonical, name[1:]), node))
                self._place(canonical, name[1:], node)
                if name[1:] in mine:
                    applied.nodes[path] = (join(canonical, name[1:]), node)
        self._link_late(late, applied)
        self._forget_resolved()
        return applied

    def _that_matter(self, canonical: str, names: str, mine: Collection[str]) -> list[str]:
        """Return the typed names that a layer's items or the tree so far care about."""
        children = self._directories.get(canonical)
        watched = self._watched.get(canonical, _NO_NAMES)
        if not (children or mine or watched):
            return []
        known = children or _NO_NODES
        return [
            n
            for n in names.split("/")
            if n[1:] in known or n[1:] in mine or (watched and n[1:] in watched)
        ]

    def _link_late(self, late: list[tuple[str, str, Node]], applied: Applied) -> None:
        """Link again what named a target that came later in the archive."""
        for path, target, stand_in in late:
            linked = self.node_at(target)
            if linked is None or linked.kind == "d" or linked is stand_in:
                applied.broken.append((path, target))
                directory, name = split(target)
                self.missing.add(join(self._resolve(directory), name))
                continue
            canonical, _ = applied.nodes[path]
            directory, name = split(canonical)
            if self._children(directory).get(name) is stand_in:
                self._place(directory, name, linked)
                applied.nodes[path] = (canonical, linked)
                self.aliases.append((canonical, linked))

    def _place(self, directory: str, name: str, node: Node) -> None:
        """Put ``node`` at a canonical place: a directory merges with a directory, all else replaces."""
        children = self._materialise(directory)
        old = children.get(name)
        children[name] = node
        path = join(directory, name)
        if old is None or old.kind == node.kind == "f":
            stale = node.kind != "d" and path in self._real
        elif old.kind == "d":
            stale = node.kind != "d"
            if stale:
                self._drop_below(path)
        else:
            stale = "l" in (old.kind, node.kind) and old.target != node.target
        if stale:
            self._forget_resolved()

    def _materialise(self, directory: str) -> dict[str, Node]:
        """Return the children of a canonical directory, made (and everything above it) if it is not there."""
        children = self._directories.get(directory)
        if children is not None:
            return children
        children = self._directories[directory] = {}
        while directory:
            self._tree_chars += len(directory)
            if self._tree_chars > _TREE_CHARS:
                raise LimitExceededError(
                    "merged_tree_chars", _TREE_CHARS, self._tree_chars, setting=False
                )
            directory, name = split(directory)
            above = self._directories.setdefault(directory, {})
            old = above.get(name)
            if old is not None and old.kind == "d":
                break
            above[name] = Node("d", "")
            if old is not None:
                self._forget_resolved()
        return children

    def _unblock(self, directory: str) -> None:
        """Replace what is no directory on the way to a canonical directory that is written into."""
        way = directory
        while way:
            above, name = split(way)
            node = self._children(above).get(name)
            if node is not None and node.kind != "d":
                self._materialise(directory)
            way = above

    def _delete(self, layer: LayerTree) -> None:
        """Apply whiteouts and opaque marks to what older layers hold."""
        marks = self._marks(layer)
        for directory, name in marks:
            children = self._directories.get(directory)
            if not children:
                continue
            for one in list(children) if name is None else [name]:
                gone = children.pop(one, None)
                if gone is not None and gone.kind == "d":
                    self._drop_below(join(directory, one))
        if marks:
            self._forget_resolved()

    def _marks(self, layer: LayerTree) -> list[tuple[str, str | None]]:
        """Return (canonical directory, name to hide or None for all), as the older layers resolve them."""
        written: list[tuple[str, str | None]] = [split(path) for path in layer.whiteouts]
        written += [(path, None) for path in layer.opaques]
        crossed = {
            d: self._links_above(d) for d in {d for d, _ in written} if self._resolve(d) != d
        }
        links = {link for every in crossed.values() for link in every}
        # Older content is not in a directory by which the layer itself replaces a link.
        replaced = directories_among(links, layer) if links else links
        return [
            (self._resolve(directory), name)
            for directory, name in written
            if replaced.isdisjoint(crossed.get(directory, ()))
        ]

    def _links_above(self, directory: str) -> list[str]:
        """Return the written paths of the symlinks on the way into a directory."""
        at, links = "", []
        for part in directory.split("/"):
            node = self._children(self._resolve(at)).get(part)
            at = join(at, part)
            if node is not None and node.kind == "l":
                links.append(at)
        return links

    def _drop_below(self, directory: str) -> None:
        todo = [directory]
        while todo:
            path = todo.pop()
            children = self._directories.pop(path, _NO_NODES)
            todo += [join(path, name) for name, node in children.items() if node.kind == "d"]
