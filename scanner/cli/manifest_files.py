"""Files of manifests: one, standard input, or all below a directory, and what of it is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scanner.errors import SettingsError
from scanner.model import FileIssue
from scanner.pod_security.manifests import MANIFESTS_BYTES

STANDARD_INPUT: Final = "-"
_SUFFIXES: Final = frozenset({".json", ".yaml", ".yml"})
_FILES_COUNT: Final = 10_000


def manifest_files(place: str) -> Iterator[tuple[str, bytes] | FileIssue]:
    """Yield name and bytes of every file of a place, by name, and an issue for what is not read.

    More than 16 MiB of a file are not read: one byte more is there then, so that its reader sees that it is too large.

    Raises:
        SettingsError: there is no such file or directory, or it cannot be read.
    """
    if place == STANDARD_INPUT:
        yield "stdin", sys.stdin.buffer.read(MANIFESTS_BYTES + 1)
        return
    path = Path(place)
    if path.is_dir():
        yield from _below(path)
        return
    try:
        yield _name(path), _bytes(path)
    except OSError as error:
        raise SettingsError(place, error.strerror or "cannot be read") from error


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MANIFESTS_BYTES + 1)


def _name(path: Path) -> str:
    """Return the path from here, if the file is below: that is what code hosts know it by."""
    whole = Path(os.path.normpath(Path.cwd() / path))
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)


def _below(root: Path) -> Iterator[tuple[str, bytes] | FileIssue]:
    inside = root.resolve()
    count = 0
    for directory, names, files in os.walk(root, onerror=_refuse):
        hidden = [name for name in names if name.startswith(".")]
        names[:] = sorted(set(names) - set(hidden))
        for name in sorted(hidden):
            yield _skipped(Path(directory, name), "a hidden directory")
        for name in sorted(files):
            count += 1
            if count > _FILES_COUNT:
                yield FileIssue(
                    path=_name(root),
                    reason=f"more than {_FILES_COUNT:,} files: those after {name} are not looked at",
                    code="limit-exceeded",
                )
                return
            yield _one(Path(directory, name), inside)


def _refuse(error: OSError) -> None:
    raise SettingsError(str(error.filename), error.strerror or "cannot be read") from error


def _one(path: Path, inside: Path) -> tuple[str, bytes] | FileIssue:
    if path.suffix.lower() not in _SUFFIXES:
        return _skipped(path, f"its name does not end in {', '.join(sorted(_SUFFIXES))}")
    try:
        if not path.resolve(strict=True).is_relative_to(inside):
            return _skipped(path, "a link that leads out of the directory")
        if not path.is_file():
            return _skipped(path, "no regular file")
        return _name(path), _bytes(path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", "") or "cannot be read"
        return FileIssue(path=_name(path), reason=reason, code="malformed-file")


def _skipped(path: Path, reason: str) -> FileIssue:
    return FileIssue(path=_name(path), reason=reason, code="skipped")
