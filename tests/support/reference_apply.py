"""A slow reference: really extract layers into a directory, by the rules and with system calls."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from support.tree import Entry


class _LoopError(Exception):
    pass


def _written(link: Path) -> str:
    return os.readlink(link)  # noqa: PTH115 - Path.readlink would tidy ./ away


class Root:
    """A directory that layers are extracted into."""

    def __init__(self, root: Path, held: Path) -> None:
        self.root = root
        self.held = held
        root.mkdir()
        held.mkdir()

    def real(self, path: str) -> str:
        """Resolve a directory path inside the root; a part that loops is taken as it is."""
        done = ""
        for part in path.split("/") if path else []:
            step = f"{done}/{part}" if done else part
            try:
                done = self._chase(step, 0)
            except _LoopError:
                done = step
        return done

    def _chase(self, path: str, depth: int) -> str:
        if depth > 40:
            raise _LoopError
        if not (self.root / path).is_symlink():
            return path
        target = _written(self.root / path)
        done = "" if target.startswith("/") else path.rpartition("/")[0]
        for part in target.split("/"):
            if part == "..":
                done = done.rpartition("/")[0]
            elif part not in ("", "."):
                done = self._chase(f"{done}/{part}" if done else part, depth + 1)
        return done

    def place(self, path: str) -> Path:
        parent, _, name = path.rpartition("/")
        return self.root / self.real(parent) / name

    def remove(self, where: Path) -> None:
        if where.is_symlink() or where.is_file():
            where.unlink()
        elif where.is_dir():
            shutil.rmtree(where)

    def ready(self, path: str) -> Path:
        """Return the place of an entry, its parents made."""
        where = self.place(path)
        for parent in [*where.relative_to(self.root).parents][::-1]:
            one = self.root / parent
            if one.is_symlink() or (one.exists() and not one.is_dir()):
                one.unlink()
            one.mkdir(exist_ok=True)
        return where

    def hide(self, entries: Sequence[Entry]) -> None:
        made = {e.path for e in entries if e.kind == "dir"}
        doomed: list[Path] = []
        for entry in entries:
            if entry.kind not in ("whiteout", "opaque"):
                continue
            way = entry.path if entry.kind == "opaque" else entry.path.rpartition("/")[0]
            steps = [way[:i] for i, c in enumerate(way + "/") if c == "/"]
            if any(s in made and self.place(s).is_symlink() for s in steps if s):
                continue
            if entry.kind == "whiteout":
                doomed.append(self.place(entry.path))
            elif (self.root / self.real(entry.path)).is_dir():
                doomed += (self.root / self.real(entry.path)).iterdir()
        for where in doomed:
            self.remove(where)

    def apply(self, index: int, entries: Sequence[Entry]) -> set[str]:
        """Extract one layer; return the hard links that lead nowhere."""
        older: dict[str, Path] = {}
        for entry in entries:
            target = self.place(entry.target) if entry.kind == "hardlink" else None
            if target and (target.is_symlink() or target.is_file()):
                older[entry.target] = self.held / f"{index}-{len(older)}"
                os.link(target, older[entry.target], follow_symlinks=False)
        self.hide(entries)
        late: list[tuple[Entry, str]] = []
        for entry in entries:
            if entry.kind in ("whiteout", "opaque"):
                continue
            where = self.ready(entry.path)
            if entry.kind == "dir":
                if where.is_symlink() or where.is_file():
                    where.unlink()
                where.mkdir(exist_ok=True)
                continue
            if entry.kind == "hardlink":
                if not self._link(where, entry, older):
                    self.remove(where)
                    where.write_text(f"late:{index}:{entry.path}")
                    late.append((entry, f"late:{index}:{entry.path}"))
                continue
            self.remove(where)
            if entry.kind == "file":
                where.write_text(f"{index}:{entry.path}")
            else:
                where.symlink_to(entry.target)
        return {e.path for e, mark in late if not self._late(e, mark, older)}

    def _link(self, where: Path, entry: Entry, older: dict[str, Path]) -> bool:
        target = self.place(entry.target)
        if not (target.is_symlink() or target.is_file()):
            if target.is_dir() or entry.target not in older:
                return False
            target = older[entry.target]
        spare = self.held / "spare"
        os.link(target, spare, follow_symlinks=False)
        self.remove(where)
        spare.rename(where)
        if spare.is_symlink() or spare.exists():
            spare.unlink()  # both names were the same file already
        return True

    def _late(self, entry: Entry, mark: str, older: dict[str, Path]) -> bool:
        target = self.place(entry.target)
        if not (target.is_symlink() or target.is_file()):
            return False
        stand_ins = [p for p in self.files() if (self.root / p).read_text() == mark]
        if not target.is_symlink() and target.read_text() == mark:
            return False
        for path in stand_ins:
            self._link(self.root / path, entry, older)
        return True

    def files(self) -> dict[str, str]:
        """Return canonical path to content of every file."""
        return {
            str(p.relative_to(self.root)): p.read_text()
            for p in sorted(self.root.rglob("*"))
            if p.is_file() and not p.is_symlink()
        }

    def symlinks(self) -> dict[str, str]:
        return {
            str(p.relative_to(self.root)): _written(p)
            for p in self.root.rglob("*")
            if p.is_symlink()
        }
