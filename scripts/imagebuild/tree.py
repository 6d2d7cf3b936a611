"""Directory trees as layers: what changed between two looks at a root becomes a tar with whiteouts.

Source: https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

Mark = tuple[int, ...]
"""mode, uid, gid, size, mtime, ctime and inode: any change of a file changes one of them."""

_NEWEST_SECONDS = 1_700_000_000
"""Times later than this are set to it, so that building again gives the same bytes more often."""


def snapshot(root: Path) -> dict[str, Mark]:
    """Return the mark of every path below ``root``, by path relative to it."""
    return dict(_walk(str(root), len(str(root)) + 1))


def _walk(directory: str, skip: int) -> Iterator[tuple[str, Mark]]:
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            info = entry.stat(follow_symlinks=False)
            yield entry.path[skip:], _mark(info)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, skip)


def _mark(info: os.stat_result) -> Mark:
    # A directory's size and times change with its children, which speak for themselves; mode and owner count.
    own = (info.st_mode, info.st_uid, info.st_gid)
    if stat.S_ISDIR(info.st_mode):
        return (*own, info.st_mtime_ns)
    return (*own, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def write_changes(
    root: Path, before: dict[str, Mark], after: dict[str, Mark], out: BinaryIO
) -> None:
    """Write what turns ``before`` into ``after`` as a layer's tar, whiteouts first."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        for path in _deleted(before, after):
            head, _, name = path.rpartition("/")
            tar.addfile(_clean(tarfile.TarInfo(f"{head}/.wh.{name}".lstrip("/"))))
        for path, mark in after.items():
            if before.get(path) != mark:
                _add(tar, root, path)


def write_entries(entries: Iterable[tuple[tarfile.TarInfo, bytes]], out: BinaryIO) -> None:
    """Write a tar of entries made by hand."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, body in entries:
            info.size = len(body)
            tar.addfile(_clean(info), io.BytesIO(body))


def _deleted(before: dict[str, Mark], after: dict[str, Mark]) -> Iterator[str]:
    """Yield the topmost of the paths that are gone and whose directory is still one."""
    for path in before.keys() - after.keys():
        parent = path.rpartition("/")[0]
        if not parent or (parent in after and stat.S_ISDIR(after[parent][0])):
            yield path


def _add(tar: tarfile.TarFile, root: Path, path: str) -> None:
    full = root / path
    if full.is_socket():  # tar has no such thing
        return
    info = _clean(tar.gettarinfo(full, arcname=path))
    if info.isreg():
        with full.open("rb") as body:
            tar.addfile(info, body)
    else:
        tar.addfile(info)


def _clean(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uname = info.gname = ""
    info.mtime = min(int(info.mtime) or _NEWEST_SECONDS, _NEWEST_SECONDS)
    return info
