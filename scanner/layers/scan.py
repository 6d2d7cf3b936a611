"""Read one layer once: every byte past the patterns, wanted files past their analyzers.

Thread A inflates and hashes (``inflate``, GIL released), thread B walks the tar and scans.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from scanner.errors import (
    LimitExceededError,
    MalformedLayerError,
    ScanCancelledError,
    ScannerError,
)
from scanner.layers.ahead import ahead
from scanner.layers.collect import Collector, Spool, expand_sparse, is_sparse
from scanner.layers.hits import HitResolver, Located
from scanner.layers.inflate import Blob, Inflater
from scanner.layers.interest import InterestTable, Wanted
from scanner.layers.outputs import OutputSet
from scanner.layers.patterns import PatternSet
from scanner.layers.tar_walk import Member, TarWalker
from scanner.layers.tree import TreeBuilder
from scanner.model import LayerReport
from scanner.ports import (
    Analyzer,
    BlobStream,
    Entry,
    EntryAnalyzer,
    FileAnalyzer,
    LayerFile,
    LayerProgress,
    Limits,
    Output,
    PatternAnalyzer,
)

_WINDOWS_AHEAD: Final = 3


def shown(path: bytes) -> str:
    r"""Return a path as text; bytes that are not UTF-8 are written as ``\xNN``."""
    return path.decode("utf-8", "backslashreplace")


class LayerScanner:
    """The engine for one set of analyzers and limits. Safe to use from many threads."""

    def __init__(
        self,
        analyzers: Sequence[Analyzer],
        limits: Limits,
        *,
        spool_dir: Path,
        cache_dir: Path | None,
        mime: Callable[[bytes], str],
    ) -> None:
        """Compile interests and patterns; raises ``ValueError`` for an analyzer that breaks its contract."""
        self.limits = limits
        self.interests = InterestTable(a for a in analyzers if isinstance(a, FileAnalyzer))
        self.patterns = PatternSet(
            [a for a in analyzers if isinstance(a, PatternAnalyzer)], cache_dir
        )
        self.entry_analyzers = tuple(a for a in analyzers if isinstance(a, EntryAnalyzer))
        self.spool_dir = spool_dir
        self.mime = mime

    def scan(
        self,
        stream: BlobStream,
        *,
        digest: str,
        size: int | None,
        diff_id: str | None,
        digest_is_diff_id: bool,
        progress: LayerProgress,
        check: Callable[[], None],
    ) -> LayerReport:
        """Read a layer to its end.

        A layer that is broken, cut off, over a limit or not what its digests promise gives a report
        with ``error`` set and what was found until there.

        Raises:
            ScanCancelledError: from ``check``.
        """
        blob = Blob(stream, None if digest_is_diff_id else digest, size)
        inflater = Inflater(
            blob, diff_id=diff_id, limits=self.limits, progress=progress, check=check
        )
        run = _LayerRun(self)
        error: ScannerError | None = None
        try:
            with ahead(inflater, _WINDOWS_AHEAD) as windows:
                run.read(windows)
        except ScanCancelledError:
            raise
        except ScannerError as caught:
            error = caught
            if isinstance(caught, LimitExceededError):
                run.outputs.limit(caught.limit, caught.allowed, "")
        return LayerReport(
            digest=digest,
            diff_id=inflater.diff_id if error is None else "",
            compressed_bytes=blob.read_bytes,
            uncompressed_bytes=inflater.out_bytes,
            compression=inflater.compression,
            entries_count=run.walker.entries_count,
            files_count=run.files_count,
            read_count=run.read_count,
            tree=run.tree.build(),
            error=str(error) if error else "",
            error_code=error.code if error else "",
            **run.outputs.collected(),
        )

    def scan_texts(self, texts: Iterable[tuple[str, bytes]]) -> list[Output]:
        """Run the patterns over small texts that are in no layer (the image config), each as a file."""
        run = _LayerRun(self)
        run.read_texts(texts)
        return run.outputs.all()


class _LayerRun:
    """The state of one layer being read; the walker's sink."""

    def __init__(self, scanner: LayerScanner) -> None:
        self._scanner = scanner
        limits = scanner.limits
        self.outputs = OutputSet(limits)
        self.tree = TreeBuilder()
        self.walker = TarWalker(self, limits)
        self.files_count = 0
        self.read_count = 0
        self._hits = HitResolver(scanner.patterns.owners, scanner.mime, limits.hits_count)
        self._spool = Spool(scanner.spool_dir, limits)
        self._member: Member | None = None
        self._wanted: Wanted = ()
        self._collector: Collector | None = None

    def read(self, windows: Iterable[bytes]) -> None:
        base = 0
        try:
            with self._scanner.patterns.stream() as patterns:
                for window in windows:
                    self.walker.feed(window)
                    self._resolve(window, base, patterns.scan(window))
                    base += len(window)
                self.walker.finish()
            if not base:
                raise MalformedLayerError("the layer is empty: not even a tar's end")
        finally:
            self._inspect(self._hits.finish())
            self._drop_collector()

    def read_texts(self, texts: Iterable[tuple[str, bytes]]) -> None:
        base = 0
        for path, text in texts:
            with self._scanner.patterns.stream() as patterns:
                self._hits.add_span(base, base + len(text), path.encode())
                hits = [(end + base, index) for end, index in patterns.scan(text)]
                self._resolve(text, base, hits)
                base += len(text)
        self._inspect(self._hits.finish())

    def _resolve(self, window: bytes, base: int, hits: list[tuple[int, int]]) -> None:
        self._inspect(self._hits.resolve(window, base, hits))
        for path in self._hits.flooded:
            self.outputs.limit("hits_count", self._scanner.limits.hits_count, shown(path))
        self._hits.flooded.clear()

    def _inspect(self, ready: Iterable[Located]) -> None:
        for owner, hit, span in ready:
            with self.outputs.guard(owner.analyzer.name, hit.path):
                self.outputs.extend(span.path, owner.analyzer.inspect(hit), span)

    # What follows is called by the walker for every entry: keep it short.

    def member(self, member: Member, start: int, magic: bytes) -> bool:
        path = member.path
        self.outputs.replaced(path)
        limits = self._scanner.limits
        if len(path) > limits.path_bytes or path.count(b"/") >= limits.path_depth:
            self._refuse_path(path)
            return False
        if not self.tree.add(member):
            return False
        if member.special_bits or member.pax:
            self._inspect_entry(member)
        if member.kind != "file":
            return False
        self.files_count += 1
        size = member.size
        if size:
            self._hits.add_span(start, start + size, path)
        interests = self._scanner.interests
        wanted = interests.wanted(path, member.directory, member.name)
        by_magic = interests.magics.get(magic)
        if by_magic is not None:
            wanted += tuple(a for a in by_magic if a not in wanted)
        return bool(wanted) and self._collect(member, wanted)

    def body(self, data: bytes, *, last: bool) -> None:
        collector, member = self._collector, self._member
        if collector is None or member is None:
            return
        collector.add(data)
        if not last:
            return
        with self.outputs.guard("engine", shown(member.path)), collector.content() as content:
            if is_sparse(member):
                content = expand_sparse(  # noqa: PLW2901 - the same content, with its holes
                    member, content[:], self._scanner.limits.memory_file_bytes
                )
            self._analyze(member, content)
        self._drop_collector()

    def anomaly(self, path: bytes, reason: str) -> None:
        self.outputs.issue(shown(path), reason, "malformed-layer")

    def _refuse_path(self, path: bytes) -> None:
        limits = self._scanner.limits
        name = "path_bytes" if len(path) > limits.path_bytes else "path_depth"
        self.outputs.limit(name, getattr(limits, name), shown(path[:200]))

    def _collect(self, member: Member, wanted: Wanted) -> bool:
        limits = self._scanner.limits
        chosen = []
        for analyzer in wanted:
            allowed = min(analyzer.max_file_bytes, limits.file_bytes)
            if member.size <= allowed:
                chosen.append(analyzer)
            else:
                self.outputs.limit("file_bytes", allowed, shown(member.path), analyzer.name)
        if not chosen:
            return False
        try:
            self._collector = Collector(member.size, self._spool, limits)
        except LimitExceededError as error:
            self.outputs.limit(error.limit, error.allowed, shown(member.path))
            return False
        self._member, self._wanted = member, tuple(chosen)
        return True

    def _analyze(self, member: Member, content: bytes | mmap.mmap) -> None:
        file = LayerFile(path=shown(member.path), data=content, mode=member.mode)
        self.read_count += 1
        for analyzer in self._wanted:
            with self.outputs.guard(analyzer.name, file.path):
                self.outputs.extend(member.path, analyzer.parse(file))

    def _inspect_entry(self, member: Member) -> None:
        mode, xattrs = member.mode, member.xattrs
        entry: Entry | None = None
        for analyzer in self._scanner.entry_analyzers:
            if mode & analyzer.mode_bits or any(name in xattrs for name in analyzer.xattrs):
                entry = entry or _entry(member, mode, xattrs)
                with self.outputs.guard(analyzer.name, entry.path):
                    self.outputs.extend(member.path, analyzer.inspect(entry))

    def _drop_collector(self) -> None:
        if self._collector is not None:
            self._collector.close()
        self._collector, self._member, self._wanted = None, None, ()


def _entry(member: Member, mode: int, xattrs: dict[str, bytes]) -> Entry:
    return Entry(
        path=shown(member.path),
        type=member.kind,
        mode=mode,
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        link=shown(member.link),
        xattrs=xattrs,
    )
