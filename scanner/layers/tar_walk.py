"""Walk a tar that arrives in windows: headers are read out of the window, unwanted bodies skipped.

ustar, PAX (next-file records; global ones are ignored, as container runtimes do), GNU long names and
links, GNU and PAX sparse files, base-256 numbers, old V7 headers. Behaviour follows the runtimes: header-only types
(links, directories, devices) have no body whatever their size field says, two zero blocks end the archive.

Source: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final, Protocol

from scanner.errors import LimitExceededError, MalformedLayerError
from scanner.ports import Limits

BLOCK: Final = 512
# name, mode, uid, gid, size, (mtime), checksum, type, linkname, magic, (version uname gname dev), prefix
_HEADER: Final = struct.Struct("100s8s8s8s12s12x8sc100s6s82x155s12x")
_ZERO_BLOCK: Final = bytes(BLOCK)
_TYPES: Final = {
    b"0": "file", b"\0": "file", b"7": "file", b"S": "file",
    b"1": "hardlink", b"2": "symlink", b"3": "character",
    b"4": "block", b"5": "directory", b"6": "fifo",
}  # fmt: skip
_XATTR: Final = b"SCHILY.xattr."
_MAX_SPARSE_EXTENTS: Final = 1_000_000


class Member:
    """One entry of the archive. ``path`` is normalised: relative, no ``.``/``..``, no trailing slash."""

    __slots__ = ("_header", "directory", "kind", "link", "name", "path", "pax", "size", "sparse")

    def __init__(self, kind: str, path: bytes, size: int, header: tuple[bytes, ...]) -> None:
        """``size`` is that of the stored body, 0 for header-only kinds."""
        self.kind = kind
        self.path = path
        self.directory, _, self.name = path.rpartition(b"/")
        self.size = size
        self._header = header
        self.link = b""
        self.pax: Mapping[bytes, bytes] = {}
        self.sparse: list[tuple[int, int]] | None = None
        """(offset, length) extents of an old GNU sparse file."""

    @property
    def special_bits(self) -> bool:
        """Whether setuid, setgid or sticky may be set; False is certain, and costs next to nothing."""
        field = self._header[1]
        return field[3] != 0x30 or not field[:7].isdigit()  # noqa: PLR2004 - the fourth digit is "0"

    @property
    def mode(self) -> int:
        """Permission bits with setuid, setgid and sticky."""
        return self._number(1) & 0o7777

    @property
    def uid(self) -> int:
        """Owner."""
        return self._pax_number(b"uid", 2)

    @property
    def gid(self) -> int:
        """Group."""
        return self._pax_number(b"gid", 3)

    @property
    def xattrs(self) -> dict[str, bytes]:
        """Extended attributes from PAX records."""
        return {
            k[len(_XATTR) :].decode("utf-8", "backslashreplace"): v
            for k, v in self.pax.items()
            if k.startswith(_XATTR)
        }

    def _pax_number(self, key: bytes, index: int) -> int:
        text = self.pax.get(key, b"")
        return int(text) if text.isdigit() else self._number(index)

    def _number(self, index: int) -> int:
        try:
            return parse_number(self._header[index])
        except MalformedLayerError:
            return 0


class TarSink(Protocol):
    """Who is told what the walk meets."""

    def member(self, member: Member, start: int, magic: bytes) -> bool:
        """An entry whose body is at ``start`` of the stream and begins with ``magic`` (4 bytes or less).

        Returns whether the body is wanted; then ``body`` gets it.
        """

    def body(self, data: bytes, *, last: bool) -> None:
        """The next bytes of the wanted member."""

    def anomaly(self, path: bytes, reason: str) -> None:
        """Something that tools disagree about, or that was put right."""


def parse_number(field: bytes) -> int:
    """Return a header number: octal digits, or base-256 when the first bit is set.

    Raises:
        MalformedLayerError: neither.
    """
    if field[0] in (0x80, 0xFF):
        value = int.from_bytes(field[1:], "big")
        return value - (1 << 8 * (len(field) - 1)) if field[0] == 0xFF else value  # noqa: PLR2004
    text = field.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise MalformedLayerError(f"tar header: {field!r} is not a number")
    return int(text, 8)


def normalise(path: bytes) -> tuple[bytes, bool]:
    """Return ``path`` relative to the root, and whether ``..`` tried to leave the root."""
    if path[-1:] == b"/":  # as every directory's
        path = path.rstrip(b"/")
    if not (path[:1] in (b"/", b".") or b"//" in path or b"/." in path):
        return path, False
    parts: list[bytes] = []
    escaped = False
    for part in path.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            escaped = escaped or not parts
            del parts[-1:]
        else:
            parts.append(part)
    return b"/".join(parts), escaped


def parse_pax(body: bytes) -> dict[bytes, bytes]:
    """Return the records of a PAX header, ``length SP key=value NL``; the last of a key wins.

    Raises:
        MalformedLayerError: a length that does not fit, or a record without ``=``.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(body) and body[at] != 0:
        space = body.find(b" ", at, at + 20)
        digits = body[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        if end <= space + 1 or end > len(body) or body[end - 1] != 0x0A:  # noqa: PLR2004
            raise MalformedLayerError("PAX header: a record's length is wrong")
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if not equals:
            raise MalformedLayerError("PAX header: a record without =")
        records[key] = value
        at = end
    return records


def _checksum_fits(window: bytes, pos: int, field: bytes) -> bool:
    """Whether the header at ``pos`` has the checksum that it says (unsigned, or signed as old tars wrote).

    adler32 starts at 1 and sums bytes modulo 65,521 in its low half: the sum of 512 bytes in two C calls.
    """
    try:
        stored = parse_number(field)
    except MalformedLayerError:
        return False
    low = zlib.adler32(window[pos : pos + 148])
    low = zlib.adler32(window[pos + 156 : pos + BLOCK], low) & 0xFFFF
    if low == (stored - 8 * 32 + 1) % 65_521:
        return True
    head = memoryview(window)[pos : pos + BLOCK].cast("b")
    return sum(head[:148]) + sum(head[156:]) + 8 * 32 == stored


class TarWalker:
    """A tar parser that is fed windows of any size, in order."""

    def __init__(self, sink: TarSink, limits: Limits) -> None:
        self._sink = sink
        self._limits = limits
        self._base = 0
        """Stream offset of the window's first byte."""
        self._carry = b""
        self._skip = 0
        """Bytes of the current body and its padding still to pass."""
        self._left = 0
        """Bytes of the current wanted body still to hand over."""
        self._meta: bytearray | None = None
        """Body of a PAX or GNU long header being gathered."""
        self._meta_type = b""
        self._extents: Member | None = None
        """A GNU sparse member whose extension blocks are being read."""
        self._pax: dict[bytes, bytes] = {}
        self._long_name = b""
        self._long_link = b""
        self._zero_blocks = 0
        self.ended = False
        self.entries_count = 0
        self._trailing = False

    def feed(self, window: bytes) -> None:
        """Walk one window.

        Raises:
            MalformedLayerError: a broken header.
            LimitExceededError: ``entries_count``, ``pax_bytes``.
        """
        if self._carry:
            window = self._carry + window
            self._base -= len(self._carry)
            self._carry = b""
        pos, end = 0, len(window)
        while pos < end:
            if self._skip:
                pos = self._pass_body(window, pos, end)
            elif end - pos < BLOCK + 4 and not self.ended:
                self._carry = window[pos:]
                break
            elif self.ended:
                self._after_end(window, pos)
                break
            else:
                pos = self._header(window, pos)
        self._base += end

    def finish(self) -> None:
        """The stream has ended.

        Raises:
            MalformedLayerError: in the middle of a file or header.
        """
        window, self._carry = self._carry, b""
        self._base -= len(window)
        pos = 0
        while not self.ended and len(window) - pos >= BLOCK:
            pos = self._header(window, pos)
            if self._inside():
                pos = self._pass_body(window, pos, len(window))
        if self._inside() or self._extents is not None:
            raise MalformedLayerError("the tar ends inside a file")
        if not self.ended and len(window) - pos and window[pos:].strip(b"\0"):
            raise MalformedLayerError("the tar ends inside a header")

    def _inside(self) -> bool:
        return self._skip > 0

    def _after_end(self, window: bytes, pos: int) -> None:
        if not self._trailing and window[pos:].strip(b"\0"):
            self._trailing = True
            self._sink.anomaly(b"", "data after the end of the archive; tools disagree about it")

    def _pass_body(self, window: bytes, pos: int, end: int) -> int:
        take = min(self._skip, end - pos)
        if self._meta is not None:
            self._meta += window[pos : pos + take]
        elif self._left:
            part = min(self._left, take)
            self._left -= part
            self._sink.body(window[pos : pos + part], last=not self._left)
        self._skip -= take
        if not self._skip and self._meta is not None:
            self._finish_meta()
        return pos + take

    def _finish_meta(self) -> None:
        body, self._meta = bytes(self._meta or b""), None
        if self._meta_type in (b"x", b"X"):
            self._pax = parse_pax(body)
        elif self._meta_type == b"L":
            self._long_name = body.split(b"\0", 1)[0]
        elif self._meta_type == b"K":
            self._long_link = body.split(b"\0", 1)[0]

    def _header(self, window: bytes, pos: int) -> int:
        """Read the header at ``pos``; return where the next thing begins."""
        if self._extents is not None:
            return self._sparse_block(window, pos)
        fields = _HEADER.unpack_from(window, pos)
        if not _checksum_fits(window, pos, fields[5]):
            return self._zero_or_broken(window, pos)
        if self._zero_blocks:
            self._zero_blocks = 0
            self._sink.anomaly(b"", "a single zero block inside the archive")
        kind_byte = fields[6]
        if kind_byte in b"xgLKX":
            return self._begin_meta(kind_byte, parse_number(fields[4]), pos)
        self.entries_count += 1
        if self.entries_count > self._limits.entries_count:
            raise LimitExceededError(
                "entries_count", self._limits.entries_count, self.entries_count
            )
        member = self._member(kind_byte, fields)
        if kind_byte == b"S":
            member.sparse = _sparse_entries(window[pos + 386 : pos + 482], 4)
            if window[pos + 482]:
                self._extents = member
                return pos + BLOCK
        return self._begin_body(member, window, pos + BLOCK)

    def _zero_or_broken(self, window: bytes, pos: int) -> int:
        if window[pos : pos + BLOCK] != _ZERO_BLOCK:
            raise MalformedLayerError(f"tar header at byte {self._base + pos} has a wrong checksum")
        self._zero_blocks += 1
        self.ended = self._zero_blocks == 2  # noqa: PLR2004
        return pos + BLOCK

    def _begin_meta(self, kind: bytes, size: int, pos: int) -> int:
        if size < 0:
            raise MalformedLayerError("tar header: negative size")
        if size > self._limits.pax_bytes:
            raise LimitExceededError("pax_bytes", self._limits.pax_bytes, size)
        self._meta_type = kind
        self._skip = -(-size // BLOCK) * BLOCK
        if self._skip:
            self._meta = bytearray()
        return pos + BLOCK

    def _member(self, kind_byte: bytes, fields: tuple[bytes, ...]) -> Member:
        """Join the header with the PAX and GNU records before it."""
        name = fields[0].split(b"\0", 1)[0]
        if fields[9][0] and fields[8] == b"ustar\0":
            name = fields[9].split(b"\0", 1)[0] + b"/" + name
        pax = self._pax
        if self._long_name:
            name, self._long_name = self._long_name, b""
        size_field = pax.get(b"size") if pax else None
        size = parse_number(fields[4]) if size_field is None else _decimal(size_field)
        if size < 0:
            raise MalformedLayerError("tar header: negative size")
        if pax:
            name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or name
            if b"\0" in name:
                raise MalformedLayerError("PAX header: NUL in a path")
        kind = _TYPES.get(kind_byte, "file")
        if kind == "file" and kind_byte == b"\0" and name.endswith(b"/"):
            kind = "directory"
        path, escaped = normalise(name)
        if escaped:
            self._sink.anomaly(path, "path leaves the root by ..; read as inside it")
        member = Member(kind, path, size if kind == "file" else 0, fields)
        if kind in ("hardlink", "symlink"):
            member.link = (
                (pax.get(b"linkpath") if pax else None)
                or self._long_link
                or fields[7].split(b"\0", 1)[0]
            )
        self._long_link = b""
        if pax:
            member.pax, self._pax = pax, {}
        return member

    def _begin_body(self, member: Member, window: bytes, pos: int) -> int:
        size = member.size
        wanted = self._sink.member(member, self._base + pos, window[pos : pos + min(4, size)])
        if not size:
            if wanted:
                self._sink.body(b"", last=True)
            return pos
        after = pos + -(-size // BLOCK) * BLOCK
        if after <= len(window):
            if wanted:
                self._sink.body(window[pos : pos + size], last=True)
            return after
        self._skip = after - pos
        self._left = size if wanted else 0
        return pos

    def _sparse_block(self, window: bytes, pos: int) -> int:
        """Read one extension block of an old GNU sparse header: 21 extents and a flag."""
        member = self._extents
        if member is None or member.sparse is None:  # pragma: no cover - by construction
            raise MalformedLayerError("sparse extension without its header")
        member.sparse += _sparse_entries(window[pos : pos + 504], 21)
        if len(member.sparse) > _MAX_SPARSE_EXTENTS:
            raise MalformedLayerError("sparse header: too many extents")
        if window[pos + 504]:
            return pos + BLOCK
        self._extents = None
        return self._begin_body(member, window, pos + BLOCK)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:  # noqa: PLR2004 - 2**64 has 20 digits
        raise MalformedLayerError("PAX header: size is not a number")
    return int(text)


def _sparse_entries(raw: bytes, count: int) -> list[tuple[int, int]]:
    entries = []
    for i in range(count):
        offset, length = raw[i * 24 : i * 24 + 12], raw[i * 24 + 12 : i * 24 + 24]
        if not offset[0] and not length[0]:
            break
        entries.append((parse_number(offset), parse_number(length)))
    return entries
