"""Random access to the members of a tar file on disk, itself perhaps gzip or zstd. Nothing is extracted.

One pass over the headers, with seeks over the bodies, makes the index; bodies are then read in place.

Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from scanner.errors import LimitExceededError, MalformedLayerError, NotFoundError, ScannerError
from scanner.ports import Limits
from scanner.sources._files import FileRange, is_file, local_error, open_descriptor, open_regular
from scanner.sources._spool import compression_of, spool

_BLOCK_BYTES = 512
_LINKS_COUNT = 40
"""Links followed from one name, as Linux does."""
_EXTENDED_TYPES = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_BODILESS_TYPES = frozenset(
    {
        tarfile.LNKTYPE,
        tarfile.SYMTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
    }
)
"""Their size field means nothing."""


class Member(NamedTuple):
    """Where a member's bytes are, or the name it is a link to."""

    offset: int
    size: int
    link: str | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    type: bytes
    name: str
    link: str
    size: int


class ArchiveFiles:
    """The files of a tar as :class:`scanner.sources._files.Files`."""

    def __init__(self, file: IO[bytes], where: str, limits: Limits) -> None:
        """Index ``file``, which is closed with this object.

        Raises:
            MalformedLayerError: cut off or corrupt.
            LimitExceededError: ``archive_entries_count`` or ``pax_bytes``.
        """
        self.where = where
        self._file = file
        self._members = index_members(file.fileno(), where, limits)

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name, links followed."""
        return self.find(name) is not None

    def find(self, name: str) -> Member | None:
        """Return the regular file that ``name`` leads to; None for none, a loop, or a way out."""
        wanted = member_name(name)
        for _ in range(_LINKS_COUNT):
            member = self._members.get(wanted)
            if member is None or member.link is None:
                return member
            wanted = member.link
        return None

    def open(self, name: str) -> FileRange:
        """Open a file; see :class:`scanner.sources._files.Files`."""
        member = self.find(name)
        if member is None:
            raise NotFoundError(self.where, f"open {name[:200]}", "no such file in the archive")
        return FileRange(os.dup(self._file.fileno()), member.offset, member.size, self.where)

    def close(self) -> None:
        """Close the archive; streams already open stay good."""
        self._file.close()


def open_archive(path: str, spool_dir: Path, limits: Limits) -> ArchiveFiles:
    """Open a tar, unpacking it first if it is compressed.

    Raises:
        MalformedLayerError: cut off, corrupt, or no tar.
        LimitExceededError: too large when unpacked, or too many members.
        UpstreamError: it cannot be opened or read.
    """
    descriptor = open_descriptor(os.path.realpath(path), path, "archive")
    source = os.fdopen(descriptor, "rb")
    return _index_or_close(_unpacked(source, path, spool_dir, limits), path, limits)


def compression_or_tar(path: str) -> str:
    """Return ``gzip``, ``zstd`` or ``tar`` by the first bytes of the file; empty for anything else."""
    if not is_file(path):
        return ""
    head = b""
    try:
        with open_regular(os.path.realpath(path), path, "archive") as stream:
            head = stream.read(_BLOCK_BYTES)
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (ScannerError, tarfile.HeaderError):
        return compression_of(head) if head else ""
    return "tar"


def _unpacked(source: BinaryIO, path: str, spool_dir: Path, limits: Limits) -> IO[bytes]:
    head = source.read(4)
    source.seek(0)
    if not compression_of(head):
        return source
    with source:
        return spool(source, spool_dir, limits, path)


def _index_or_close(file: IO[bytes], path: str, limits: Limits) -> ArchiveFiles:
    try:
        return ArchiveFiles(file, path, limits)
    except BaseException:
        file.close()
        raise


def member_name(name: str) -> str:
    """Return ``name`` relative to the archive's root, without ``.`` and ``..``; empty if it leaves it."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def index_members(descriptor: int, where: str, limits: Limits) -> dict[str, Member]:
    """Return name -> member of a tar; of members with one name the last wins.

    Raises:
        MalformedLayerError: cut off or corrupt.
        LimitExceededError: ``archive_entries_count`` or ``pax_bytes``.
    """
    file_bytes = os.fstat(descriptor).st_size
    members: dict[str, Member] = {}
    overrides: dict[str, str] = {}
    offset = seen = 0
    while header := _read_header(descriptor, offset, where):
        seen += 1
        if seen > limits.archive_entries_count:
            raise LimitExceededError("archive_entries_count", limits.archive_entries_count, seen)
        body = offset + _BLOCK_BYTES
        size = _body_bytes(header, overrides.get("size"), offset)
        if body + size > file_bytes:
            raise MalformedLayerError(f"archive: cut off in the member at byte {offset}")
        more = _extension(header, descriptor, body, limits, where)
        if more is None:
            _record(members, header, overrides, body, size)
            overrides = {}
        else:
            overrides |= more
        offset = body + -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
    return members


def _read_header(descriptor: int, offset: int, where: str) -> _Header | None:
    """Return the header at ``offset``, or None at the archive's end."""
    block = _pread(descriptor, _BLOCK_BYTES, offset, where)
    if not block and offset:
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if len(block) == _BLOCK_BYTES and not block.strip(b"\0"):
            return None
        reason = f"archive: no tar header at byte {offset}: {error}"
        raise MalformedLayerError(reason) from error
    return _Header(info.type, info.name, info.linkname, info.size)


def _body_bytes(header: _Header, override: str | None, offset: int) -> int:
    """Return how many bytes of content follow the header."""
    if header.type in _BODILESS_TYPES:
        return 0
    is_extension = header.type in _EXTENDED_TYPES or header.type in tarfile.GNU_TYPES
    size = header.size
    if override is not None and not is_extension:
        if not (override.isascii() and override.isdigit() and len(override) < 20):  # noqa: PLR2004
            raise MalformedLayerError(f"archive: PAX size before byte {offset} is no number")
        size = int(override)
    if size < 0 or header.type == tarfile.GNUTYPE_SPARSE:
        raise MalformedLayerError(f"archive: negative size or sparse member at byte {offset}")
    return size


def _extension(
    header: _Header, descriptor: int, body: int, limits: Limits, where: str
) -> dict[str, str] | None:
    """Return what the header says of the next one; None if it is a member itself."""
    kinds = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
    if header.type == tarfile.XGLTYPE:
        return {}
    if header.type not in kinds and header.type not in _EXTENDED_TYPES:
        return None
    if header.size > limits.pax_bytes:
        raise LimitExceededError("pax_bytes", limits.pax_bytes, header.size)
    data = _pread(descriptor, header.size, body, where)
    if header.type in kinds:
        return {kinds[header.type]: _decoded(data.partition(b"\0")[0])}
    return _pax_records(data, body)


def _pax_records(data: bytes, body: int) -> dict[str, str]:
    """Return the ``path``, ``linkpath`` and ``size`` of a PAX header."""
    found: dict[str, str] = {}
    position = 0
    while position < len(data) and data[position : position + 1] != b"\0":
        digits = data[position : position + 20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = data[position + len(digits) + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or position + length > len(data):
            raise MalformedLayerError(f"archive: bad PAX record at byte {body + position}")
        if key in {b"path", b"linkpath", b"size"}:
            found[key.decode()] = _decoded(value[:-1])
        position += length
    return found


def _record(
    members: dict[str, Member], header: _Header, overrides: dict[str, str], body: int, size: int
) -> None:
    name = member_name(overrides.get("path", header.name))
    link = overrides.get("linkpath", header.link)
    members.pop(name, None)
    if not name:
        return
    if header.type == tarfile.SYMTYPE:
        members[name] = Member(0, 0, member_name(_beside(name, link)))
    elif header.type == tarfile.LNKTYPE:
        members[name] = Member(0, 0, member_name(link))
    elif header.type in tarfile.REGULAR_TYPES:
        members[name] = Member(body, size)


def _beside(name: str, link: str) -> str:
    """Return where a symlink called ``name`` leads to."""
    return link if link.startswith("/") else f"{name.rpartition('/')[0]}/{link}"


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _pread(descriptor: int, size: int, offset: int, where: str) -> bytes:
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        raise local_error(where, "read", error) from error
