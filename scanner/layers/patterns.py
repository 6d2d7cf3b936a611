"""All patterns at once over a layer's decompressed stream, windows apart or not.

hyperscan 0.9 keeps no reference to a match handler, and one scratch serves one thread only: both are
held here, in one place. A compiled database is cached on disk under the hash of its patterns and the library's version.

Source: https://intel.github.io/hyperscan/dev-reference/runtime.html#streaming-mode
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from scanner.layers.cache_files import save
from scanner.ports import Pattern, PatternAnalyzer

CONTEXT_BYTES: Final = 32 * 1024


class PatternOwner(NamedTuple):
    """A pattern and the analyzer that asked for it; hits carry its index."""

    pattern: Pattern
    analyzer: PatternAnalyzer


class PatternSet:
    """The patterns of all analyzers, compiled once per thread from one cached database."""

    def __init__(self, analyzers: Sequence[PatternAnalyzer], cache_dir: Path | None) -> None:
        """Compile or load the patterns.

        Raises:
            ValueError: a pattern that hyperscan refuses, or whose context is too large.
        """
        self.owners = tuple(PatternOwner(p, a) for a in analyzers for p in a.patterns)
        for pattern, _ in self.owners:
            if max(pattern.before, pattern.after) > CONTEXT_BYTES:
                raise ValueError(f"{pattern.id}: more than {CONTEXT_BYTES} bytes of context")
        self._serialised = _load_or_compile([o.pattern for o in self.owners], cache_dir)
        self._local = threading.local()

    def stream(self) -> PatternStream:
        """Begin a stream; use it in the calling thread only."""
        if not self.owners:
            return PatternStream(None)
        database = getattr(self._local, "database", None)
        if database is None:
            import hyperscan  # noqa: PLC0415

            database = hyperscan.loadb(self._serialised, hyperscan.HS_MODE_STREAM)
            database.scratch = hyperscan.Scratch(database)
            self._local.database = database
        return PatternStream(database)


class PatternStream:
    """One pass over one stream. ``scan`` returns the hits of a window: (end offset, pattern index)."""

    def __init__(self, database: Any) -> None:
        self._hits: list[tuple[int, int]] = []
        self._database = database  # hyperscan's stream keeps no reference to it either
        self._handler = self._on_match  # the one reference that keeps the bound method alive
        self._context = (
            database.stream(match_event_handler=self._handler)
            if database
            else contextlib.nullcontext()
        )
        self._stream: Any = None

    def __enter__(self) -> Self:
        self._stream = self._context.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.__exit__(*exc)

    def _on_match(self, index: int, _start: int, end: int, _flags: int, _context: object) -> None:
        self._hits.append((end, index))

    def scan(self, window: bytes) -> list[tuple[int, int]]:
        """Return the matches that end in ``window``, by offset in the stream (just after the match)."""
        if self._stream is None:
            return []
        self._stream.scan(window)
        hits, self._hits = self._hits, []
        hits.sort()
        return hits


def _compile(patterns: Sequence[Pattern]) -> bytes:
    import hyperscan  # noqa: PLC0415

    database = hyperscan.Database(mode=hyperscan.HS_MODE_STREAM)
    flags = [
        hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if p.caseless else 0)
        for p in patterns
    ]
    try:
        database.compile(
            expressions=[p.expression.encode() for p in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=flags,
        )
    except hyperscan.error as error:
        raise ValueError(f"patterns cannot be compiled: {error}") from error
    return bytes(hyperscan.dumpb(database))


def _load_or_compile(patterns: Sequence[Pattern], cache_dir: Path | None) -> bytes:
    if not patterns:
        return b""
    from importlib.metadata import version  # noqa: PLC0415

    state = hashlib.sha256(f"{version('hyperscan')} {os.uname().machine}".encode())
    for p in patterns:
        state.update(f"\0{p.expression}\0{p.caseless}".encode())
    # The database is tuned to the processor that compiled it; a shared cache must not mix them.
    state.update(_cpu_model().encode())
    cached = cache_dir / f"patterns-{state.hexdigest()[:24]}.hsdb" if cache_dir else None
    if cached is not None:
        with contextlib.suppress(OSError):
            content = cached.read_bytes()
            if content[:32] == hashlib.sha256(content[32:]).digest():
                return content[32:]
    serialised = _compile(patterns)
    if cached is not None:
        save(cached, hashlib.sha256(serialised).digest() + serialised)
    return serialised


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith(("flags", "Features")):
                return line
    return ""
