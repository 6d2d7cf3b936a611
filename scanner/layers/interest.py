"""Declared interests, compiled into three dictionaries, so that one look-up decides per file.

Sixty ``wants(path)`` calls per file would cost more than inflating the layer; looking up the base
name, the suffix and the parent directory's name costs a fraction of a microsecond, and only the few
files that hit are checked against the glob's full expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from scanner.ports import FileAnalyzer

Wanted: TypeAlias = tuple[FileAnalyzer, ...]
_Bucket: TypeAlias = dict[bytes, list[tuple["re.Pattern[bytes]", FileAnalyzer]]]

_WILD = re.compile(r"[*?\[]")


def compile_glob(glob: str) -> re.Pattern[bytes]:
    """Return the expression of a whole path: ``**/`` any directories, ``*`` and ``?`` within one."""
    out = ""
    rest = glob
    while rest:
        if rest.startswith("**/"):
            out, rest = out + "(?:.*/)?", rest[3:]
        elif rest[0] == "*":
            out, rest = out + "[^/]*", rest[1:]
        elif rest[0] == "?":
            out, rest = out + "[^/]", rest[1:]
        else:
            out, rest = out + re.escape(rest[0]), rest[1:]
    return re.compile(f"(?s:{out})\\Z".encode())


class InterestTable:
    """Who wants a file, by its path and its first four bytes."""

    def __init__(self, analyzers: Iterable[FileAnalyzer]) -> None:
        """Compile the interests.

        Raises:
            ValueError: a glob whose last segment names neither a file, nor a suffix, nor ``*`` below
                a literal directory; or a magic that is not four bytes.
        """
        self._names: _Bucket = {}
        self._suffixes: _Bucket = {}
        self._directories: _Bucket = {}
        self.magics: dict[bytes, Wanted] = {}
        for analyzer in analyzers:
            for glob in analyzer.interest.globs:
                self._add(glob, analyzer)
            for magic in analyzer.interest.magics:
                if len(magic) != 4:  # noqa: PLR2004 - the length the walker looks at
                    raise ValueError(f"{analyzer.name}: magic {magic!r} is not four bytes")
                self.magics[magic] = (*self.magics.get(magic, ()), analyzer)

    def _add(self, glob: str, analyzer: FileAnalyzer) -> None:
        parent, _, last = glob.rpartition("/")
        if not _WILD.search(last):
            bucket, key = self._names, last
        elif "." in last and not _WILD.search(last.rpartition(".")[2]):
            bucket, key = self._suffixes, last.rpartition(".")[2]
        elif last == "*" and parent and not _WILD.search(parent.rpartition("/")[2]):
            bucket, key = self._directories, parent.rpartition("/")[2]
        else:
            raise ValueError(f"{analyzer.name}: glob {glob!r} cannot be looked up")
        bucket.setdefault(key.encode(), []).append((compile_glob(glob), analyzer))

    def wanted(self, path: bytes, directory: bytes, name: bytes) -> Wanted:
        """Return the analyzers whose globs match ``path`` (= ``directory/name``), each once."""
        found = self._names.get(name)
        _, dot, suffix = name.rpartition(b".")
        by_suffix = self._suffixes.get(suffix) if dot else None
        by_directory = self._directories.get(directory.rpartition(b"/")[2])
        if found is None and by_suffix is None and by_directory is None:
            return ()
        hits: dict[str, FileAnalyzer] = {}
        for bucket in (found, by_suffix, by_directory):
            for expression, analyzer in bucket or ():
                if analyzer.name not in hits and expression.match(path):
                    hits[analyzer.name] = analyzer
        return tuple(hits.values())

    def matches(self, path: str) -> bool:
        """Whether any analyzer wants the file at ``path`` for its path."""
        raw = path.encode("utf-8", "surrogateescape")
        directory, _, name = raw.rpartition(b"/")
        return bool(self.wanted(raw, directory, name))
