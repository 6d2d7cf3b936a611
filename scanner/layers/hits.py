"""From offsets in the stream to places in files, with the bytes around them.

A hit is one end offset. Headers come before bodies, so when a window has been walked the file that
each of its hits lies in is known; the bytes *after* the hit may come with the next window, so a hit waits
until its context is there or its file ends. The last 64 KiB of earlier windows are kept for the bytes *before*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from scanner.layers.patterns import CONTEXT_BYTES, PatternOwner
from scanner.ports import Hit

HEAD_BYTES: Final = 2_048
_TAIL_BYTES: Final = 2 * CONTEXT_BYTES


class Span:
    """Where one regular file lies in the stream, and what is remembered of it."""

    __slots__ = ("counted", "end", "head", "hits_count", "lines", "path", "seen", "start", "text")

    def __init__(self, start: int, end: int, path: bytes) -> None:
        self.start = start
        self.end = end
        self.path = path
        self.head: bytes | None = None
        self.text = False
        self.counted = start
        """Newlines before this stream offset are in ``lines``."""
        self.lines = 0
        self.hits_count = 0
        self.seen: set[tuple[str, str]] | None = None
        """(rule, identity) already reported of this file."""


Located: TypeAlias = tuple[PatternOwner, Hit, Span]
"""A hit, whose pattern it is, and the file it lies in."""


class HitResolver:
    """Feeds on windows, spans and hits; gives ``Hit`` records."""

    def __init__(
        self, owners: tuple[PatternOwner, ...], mime: Callable[[bytes], str], max_hits: int
    ) -> None:
        """``max_hits`` per file; further ones are dropped and the file is put in ``flooded``."""
        self._owners = owners
        self._mime = mime
        self._max_hits = max_hits
        self._tail = b""
        self._window = b""
        self._base = 0
        self._spans: list[Span] = []
        self._pending: list[tuple[int, int, Span]] = []
        self.flooded: list[bytes] = []

    def add_span(self, start: int, end: int, path: bytes) -> None:
        """A regular file with content begins; spans come in order."""
        self._spans.append(Span(start, end, path))

    def resolve(self, window: bytes, base: int, hits: list[tuple[int, int]]) -> Iterator[Located]:
        """Yield what is ready after ``window`` (at stream offset ``base``) was walked and scanned."""
        if hits or self._pending:
            self._window, self._base = window, base
            ready = self._attribute(hits)
            until = base + len(window)
            self._pending = []
            for end, index, span in ready:
                need = min(end + self._owners[index].pattern.after, span.end)
                if need > until:
                    self._pending.append((end, index, span))
                else:
                    yield self._hit(end, index, span)
        self._remember(window, base)

    def finish(self) -> Iterator[Located]:
        """Yield what waited for bytes that never came (a layer that was cut off)."""
        self._window, self._base = b"", self._base + len(self._window)
        for end, index, span in self._pending:
            yield self._hit(end, index, span)
        self._pending = []

    def _attribute(self, hits: list[tuple[int, int]]) -> list[tuple[int, int, Span]]:
        """Join hits with the files they end in; one in a header or padding belongs to none."""
        found = self._pending
        spans = iter(self._spans)
        span = next(spans, None)
        for end, index in hits:
            while span is not None and span.end < end:
                span = next(spans, None)
            if span is None:
                break
            if end <= span.start:
                continue
            span.hits_count += 1
            if span.hits_count <= self._max_hits:
                found.append((end, index, span))
            elif span.hits_count == self._max_hits + 1:
                self.flooded.append(span.path)
        return found

    def _slice(self, start: int, end: int) -> bytes:
        """Return stream bytes [start, end) from the tail and the current window."""
        window = self._window[max(0, start - self._base) : max(0, end - self._base)]
        if start >= self._base:
            return window
        tail_base = self._base - len(self._tail)
        return self._tail[max(0, start - tail_base) : end - tail_base] + window

    def _hit(self, end: int, index: int, span: Span) -> Located:
        owner = self._owners[index]
        start = max(span.start, end - owner.pattern.before, self._base - len(self._tail))
        stop = min(span.end, end + owner.pattern.after)
        if span.head is None:
            self._open(span)
        head = span.head or b""
        hit = Hit(
            pattern=owner.pattern.id,
            path=span.path.decode("utf-8", "backslashreplace"),
            window=self._slice(start, stop),
            end=end - start,
            offset=start - span.start,
            line=self._line(span, start) if span.text else None,
            head=head,
            mime=lambda: self._mime(head),
        )
        return owner, hit, span

    def _open(self, span: Span) -> None:
        span.head = self._slice(span.start, min(span.end, span.start + HEAD_BYTES))
        span.text = b"\0" not in span.head

    def _line(self, span: Span, offset: int) -> int:
        """1-based line of stream offset ``offset``, counted on from where the last count ended."""
        if offset >= span.counted:
            span.lines += self._slice(span.counted, offset).count(b"\n")
        else:
            span.lines -= self._slice(offset, span.counted).count(b"\n")
        span.counted = offset
        return span.lines + 1

    def _remember(self, window: bytes, base: int) -> None:
        """Keep the last bytes, and only the file that goes on in the next window."""
        self._window, self._base = window, base
        until = base + len(window)
        last = self._spans[-1] if self._spans else None
        if last is not None and last.end > until:
            if last.head is None and last.start < until:
                self._open(last)
            if last.text and last.counted < until:
                self._line(last, until)
            self._spans = [last]
        else:
            self._spans = []
        if len(window) >= _TAIL_BYTES:
            self._tail = window[-_TAIL_BYTES:]
        else:
            self._tail = (self._tail + window)[-_TAIL_BYTES:]
        self._window, self._base = b"", until
