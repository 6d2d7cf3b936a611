"""The text in which ``LayerTree.names`` holds the paths of a layer: a group for each run of one directory.

A chain of nested directories would repeat each of them in every one below; so a directory is written
without what it shares with the one before, and read again one group at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from scanner.model import LayerTree

_SHARED: Final = b"\x01"
"""Begins a directory that is written without what it shares with the one before."""
_SHARED_BYTES: Final = 8
"""Less is not worth the count before it."""


def join(directory: str, name: str) -> str:
    """Return the path of ``name`` in ``directory``."""
    return f"{directory}/{name}" if directory else name


def split(path: str) -> tuple[str, str]:
    """Return directory and base name."""
    directory, _, name = path.rpartition("/")
    return directory, name


def by_directory(paths: Iterable[str]) -> dict[str, set[str]]:
    """Return the base names of ``paths`` by directory."""
    found: dict[str, set[str]] = {}
    for path in paths:
        if path:
            directory, name = split(path)
            found.setdefault(directory, set()).add(name)
    return found


def _shared_bytes(before: bytes, now: bytes) -> int:
    """Return how many bytes both begin with, in few steps however long they are."""
    if now.startswith(before):
        return len(before)
    low, high = 0, min(len(before), len(now))
    while low < high:
        middle = (low + high + 1) // 2
        if before.startswith(now[:middle]):
            low = middle
        else:
            high = middle - 1
    return low


def written_directory(before: bytes, now: bytes) -> bytes:
    """Return how ``LayerTree.names`` writes a directory that follows another one."""
    shared = _shared_bytes(before, now)
    if shared < _SHARED_BYTES and not now.startswith(_SHARED):
        return now
    return b"%b%d/%b" % (_SHARED, shared, now[shared:])


def groups(tree: LayerTree) -> Iterator[tuple[str, str]]:
    """Yield (directory, typed names joined by slashes), in the order of the archive."""
    names, directory = tree.names, b""
    at, middle = 0, names.find(b"\0")
    while middle >= 0:
        end = names.find(b"\0", middle + 1)
        end = len(names) if end < 0 else end
        directory = _whole(names[at:middle], directory)
        yield _text(directory), _text(names[middle + 1 : end])
        at, middle = end + 1, names.find(b"\0", end + 1)


def _whole(written: bytes, before: bytes) -> bytes:
    if not written.startswith(_SHARED):
        return written
    count, _, rest = written[len(_SHARED) :].partition(b"/")
    return before[: int(count)] + rest if count.isdigit() else rest


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def directories_among(paths: Collection[str], tree: LayerTree) -> set[str]:
    """Return those of ``paths`` that a layer writes as a directory."""
    wanted = by_directory(paths)
    return {
        join(directory, name)
        for directory, names in groups(tree)
        if directory in wanted
        for name in wanted[directory].intersection(
            one[1:] for one in names.split("/") if one[:1] == "d"
        )
    }
