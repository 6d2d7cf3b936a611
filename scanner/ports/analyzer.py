"""What an analyzer is: a record of plain data and one pure function.

There are four kinds, by what they are shown:

* ``FileAnalyzer``     whole files whose path or first bytes it declared an interest in;
* ``PatternAnalyzer``  places anywhere in a layer's bytes where one of its patterns matched;
* ``EntryAnalyzer``    tar entries (not their content) with special mode bits or extended attributes;
* ``ImageAnalyzer``    the merged image: config, kept files, packages.

A leaf module below ``scanner.analyzers`` exports ``ANALYZERS``, a tuple of such records, and is found
by walking the packages; adding one edits no list. The functions are pure and synchronous, raise
``InputError`` only, and yield outputs. ``version`` rises whenever the output for some input changes:
stored layer reports of older versions are then computed anew.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, TypeAlias, cast

from scanner.model import (
    Distribution,
    Finding,
    ImageConfig,
    Kept,
    OwnedFiles,
    Package,
)
from scanner.model.report import FileIssue

Output: TypeAlias = Package | Finding | Kept | OwnedFiles | FileIssue | Distribution
"""What an analyzer may yield. ``Distribution`` only from an ``ImageAnalyzer``."""


@dataclass(frozen=True, slots=True)
class Interest:
    """Which files of a layer an analyzer wants. Declared, so that one look-up per file can decide.

    ``globs`` are matched against the whole path without leading slash; ``**/`` is any number of
    directories (also none), ``*`` anything but a slash. The last segment decides how a glob is found:
    a literal name (``**/METADATA``), ``*.ext`` (``**/*.jar``) or ``*`` below a literal directory name
    (``**/dpkg/status.d/*``); other shapes are refused when analyzers are loaded.
    ``magics`` are the first four bytes of the content (0x7f ``ELF``), whatever the path.
    """

    globs: tuple[str, ...] = ()
    magics: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerFile:
    """One regular file of a layer, whole.

    ``data`` is ``bytes``, or a read-only ``mmap`` for a file too large to hold in memory; both can be
    sliced (giving bytes), searched with ``find`` and ``re``, and have ``len``. It is valid only until
    the analyzer returns: copy what you keep.
    """

    path: str
    data: bytes | mmap.mmap
    mode: int = 0o644

    def open(self) -> BinaryIO:
        """Return a seekable reader over ``data`` (no copy for an mmap)."""
        if isinstance(self.data, bytes):
            return io.BytesIO(self.data)
        self.data.seek(0)
        return cast("BinaryIO", self.data)


@dataclass(frozen=True, slots=True)
class FileAnalyzer:
    """Reads whole files. ``parse`` raises ``MalformedFileError`` for a file it cannot read."""

    name: str
    """Path-like: ``debian/dpkg-status``."""
    version: int
    interest: Interest
    parse: Callable[[LayerFile], Iterable[Output]]
    max_file_bytes: int = 64 * 1024 * 1024
    """A larger file is reported as a limit hit and not handed over."""
    summary: str = ""
    """One line for ``scanner plugins``."""
    purl_types: tuple[str, ...] = ()
    """The purl types it can yield."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A bounded regular expression that the stream engine looks for in every byte of a layer.

    Hyperscan syntax, over bytes, dot matches newline. It must be bounded and of the shortest form that is
    specific (``{20}``, never ``{20,}``): every end offset is one callback.
    ``before`` and ``after`` are the context wanted around the *end* of the match, in bytes
    (at most 32,768 each); ``before`` must cover the match.
    """

    id: str
    expression: str
    before: int = 512
    after: int = 512
    caseless: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One match of a pattern inside one file."""

    pattern: str
    path: str
    window: bytes
    """Context around the match, never beyond the file."""
    end: int
    """Index in ``window`` just after the match."""
    offset: int
    """Byte offset of ``window[0]`` in the file."""
    line: int | None
    """1-based line of ``window[0]``; None where the file is binary or its start was not counted."""
    head: bytes
    """First bytes of the file (at most 2,048)."""
    mime: Callable[[], str]
    """The type that libmagic gives ``head``; slow, so ask last."""

    def line_at(self, index: int) -> int | None:
        """1-based line of ``window[index]``."""
        return None if self.line is None else self.line + self.window.count(b"\n", 0, index)


@dataclass(frozen=True, slots=True)
class PatternAnalyzer:
    """Sees matches of its patterns; decides with the bytes around them.

    ``inspect`` may be called for several ends of one match and for overlapping windows; equal outputs
    of one file (same rule and identity) are reported once, the first place wins.
    """

    name: str
    version: int
    patterns: tuple[Pattern, ...]
    inspect: Callable[[Hit], Iterable[Output]]
    summary: str = ""
    revision: str = ""
    """Anything else that the fingerprint must cover (hash of a rule file)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tar entry without its content."""

    path: str
    type: str
    """``file``, ``directory``, ``symlink``, ``hardlink``, ``character``, ``block``, ``fifo``."""
    mode: int
    """Permission bits with setuid, setgid and sticky (0o7777)."""
    uid: int
    gid: int
    size: int
    link: str = ""
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    """From PAX ``SCHILY.xattr.*``."""


@dataclass(frozen=True, slots=True)
class EntryAnalyzer:
    """Sees entries with any of ``mode_bits`` set or any of ``xattrs`` present."""

    name: str
    version: int
    mode_bits: int
    xattrs: tuple[str, ...]
    inspect: Callable[[Entry], Iterable[Output]]
    summary: str = ""


class ImageView(Protocol):
    """The merged image, as an image analyzer sees it."""

    @property
    def config(self) -> ImageConfig:
        """The image's config."""

    @property
    def packages(self) -> Sequence[Package]:
        """Packages visible in the merged image (not those that image analyzers add)."""

    def resolve(self, path: str) -> str:
        """Return ``path`` with every symlink of the merged image followed (at most 40), inside the root."""

    def kept(self, key: str) -> Sequence[Kept]:
        """All kept files with this key that are visible in the merged image, sorted by path."""

    def kept_at(self, key: str, path: str) -> Kept | None:
        """The kept file that ``path`` leads to after following symlinks."""


@dataclass(frozen=True, slots=True)
class ImageAnalyzer:
    """Runs once per image, after the merge."""

    name: str
    version: int
    inspect: Callable[[ImageView], Iterable[Output]]
    summary: str = ""
    purl_types: tuple[str, ...] = ()


Analyzer: TypeAlias = FileAnalyzer | PatternAnalyzer | EntryAnalyzer | ImageAnalyzer
