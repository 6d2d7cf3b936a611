"""Feed bytes to a pattern analyzer as the stream engine would: hyperscan finds, ``inspect`` decides."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import hyperscan
import magic

from scanner.model import Finding
from scanner.ports import Hit, Output, Pattern, PatternAnalyzer

HEAD_BYTES = 2_048


@cache
def database(patterns: tuple[Pattern, ...]) -> hyperscan.Database:
    """Compile ``patterns`` with the engine's flags; the id of a match is the pattern's index."""
    made = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    made.compile(
        expressions=[p.expression.encode() for p in patterns],
        ids=list(range(len(patterns))),
        flags=[
            hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if p.caseless else 0)
            for p in patterns
        ],
    )
    return made


def matches(patterns: tuple[Pattern, ...], data: bytes) -> list[tuple[Pattern, int]]:
    """Return (pattern, end) for every end offset that hyperscan reports, in order of end."""
    found: list[tuple[Pattern, int]] = []

    def on_match(index: int, _start: int, end: int, _flags: int, _context: object) -> None:
        found.append((patterns[index], end))

    if data:
        database(patterns).scan(data, match_event_handler=on_match)  # held by this frame
    return sorted(found, key=lambda pair: pair[1])


def hits(analyzer: PatternAnalyzer, data: bytes, path: str = "app/file") -> Iterator[Hit]:
    """Yield a ``Hit`` for every match in the file ``path`` with content ``data``."""
    head = data[:HEAD_BYTES]
    binary = b"\0" in head
    for pattern, end in matches(analyzer.patterns, data):
        start = max(0, end - pattern.before)
        yield Hit(
            pattern=pattern.id,
            path=path,
            window=data[start : end + pattern.after],
            end=end - start,
            offset=start,
            line=None if binary else data.count(b"\n", 0, start) + 1,
            head=head,
            mime=lambda: magic.from_buffer(head, mime=True),
        )


def outputs(analyzer: PatternAnalyzer, data: bytes, path: str = "app/file") -> list[Output]:
    """Return what the analyzer says of one file; equal findings (rule, identity) once, first wins."""
    kept: dict[object, Output] = {}
    for hit in hits(analyzer, data, path):
        for output in analyzer.inspect(hit):
            key = (output.rule_id, output.identity) if isinstance(output, Finding) else repr(output)
            kept.setdefault(key, output)
    return list(kept.values())
