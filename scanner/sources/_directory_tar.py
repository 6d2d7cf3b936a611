"""A directory tree as a tar, written while it is read, so that it can be scanned like a layer.

Entries come depth first, names sorted. Everything is opened relative to its directory's file descriptor
and without following symlinks, so that nothing outside the tree is reached, even if it changes meanwhile.

Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from scanner.model import FileIssue
from scanner.ports import Limits
from scanner.sources._files import CHUNK_BYTES, local_error

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CAPABILITY = "security.capability"
_USTAR = b"ustar\x0000"
_OCTAL_7, _OCTAL_11 = 0o7777777, 0o77777777777
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
"""Sockets have no tar type and no content."""


@dataclass(slots=True)
class _Directory:
    """A directory being walked; ``prefix`` is its path with a slash at the end."""

    descriptor: int
    prefix: str
    names: Iterator[str]


@dataclass(slots=True)
class _Walk:
    """What is known of one walk."""

    device: int
    limits: Limits
    issues: list[FileIssue]
    first_paths: dict[tuple[int, int], str] = field(default_factory=dict)
    """(device, inode) of files with several names -> the name already written."""

    def report(self, path: str, reason: str) -> None:
        """Add an issue; the last one that is kept says that there are more."""
        room = self.limits.outputs_count - len(self.issues)
        if room == 1:
            path, reason = "", "more files were skipped than are listed"
        if room > 0:
            self.issues.append(FileIssue(path=_printable(path), reason=reason, code="skipped"))


class DirectoryTar:
    """The tar as a blob stream. What could not be read is added to ``issues``."""

    def __init__(self, path: str, limits: Limits, issues: list[FileIssue]) -> None:
        """Open the directory.

        Raises:
            NotFoundError: it is gone, or no directory.
            UpstreamError: it cannot be opened.
        """
        try:
            root = os.open(os.path.realpath(path), _DIRECTORY_FLAGS)
        except OSError as error:
            raise local_error(path, "open directory", error) from error
        walk = _Walk(os.fstat(root).st_dev, limits, issues)
        self._root = root
        self._chunks = _tar_chunks(root, walk)
        self._rest: bytes | memoryview = b""

    def read(self, size: int, /) -> bytes:
        """Return 1..size bytes, or ``b""`` at the end."""
        wanted = min(size, CHUNK_BYTES)
        pieces: list[bytes | memoryview] = []
        while wanted > 0 and (data := self._rest or next(self._chunks, b"")):
            taken = data[:wanted]
            self._rest = memoryview(data)[len(taken) :]
            pieces.append(taken)
            wanted -= len(taken)
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of all directories and files; safe to call twice."""
        self._chunks.close()
        self._rest = b""
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)


def _tar_chunks(root: int, walk: _Walk) -> Generator[bytes, None, None]:
    stack: list[_Directory] = []
    try:
        _descend(stack, root, ".", "", walk)
        while stack:
            here = stack[-1]
            name = next(here.names, None)
            if name is None:
                os.close(stack.pop().descriptor)
                continue
            path = here.prefix + name
            try:
                status = os.stat(name, dir_fd=here.descriptor, follow_symlinks=False)
                yield from _entry(here.descriptor, name, path, status, walk)
            except OSError as error:
                walk.report(path, _reason(error))
                continue
            if not stat.S_ISDIR(status.st_mode):
                continue
            if reason := _why_not_entered(status, len(stack), walk):
                walk.report(path, reason)
            else:
                _descend(stack, here.descriptor, name, f"{path}/", walk)
        yield bytes(2 * tarfile.BLOCKSIZE)
    finally:
        for directory in stack:
            os.close(directory.descriptor)


def _why_not_entered(status: os.stat_result, depth: int, walk: _Walk) -> str:
    if status.st_dev != walk.device:
        return "another file system is mounted there"
    if depth >= walk.limits.path_depth:
        return f"deeper than limits.path_depth ({walk.limits.path_depth})"
    return ""


def _descend(stack: list[_Directory], parent: int, name: str, prefix: str, walk: _Walk) -> None:
    try:
        descriptor = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
    except OSError as error:
        walk.report(prefix.rstrip("/"), _reason(error))
        return
    try:
        names = sorted(os.listdir(descriptor), key=os.fsencode)  # noqa: PTH208 - by descriptor
    except OSError as error:
        os.close(descriptor)
        walk.report(prefix.rstrip("/"), _reason(error))
        return
    stack.append(_Directory(descriptor, prefix, iter(names)))


def _entry(
    parent: int, name: str, path: str, status: os.stat_result, walk: _Walk
) -> Iterator[bytes]:
    """Yield a header and, for a regular file, its content."""
    kind = _TYPES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return
    if kind == tarfile.REGTYPE:
        yield from _file(parent, name, path, status, walk)
        return
    info = _header(path, kind, status)
    if kind == tarfile.SYMTYPE:
        info.linkname = os.readlink(name, dir_fd=parent)
    elif kind in {tarfile.CHRTYPE, tarfile.BLKTYPE}:
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    yield _written(info)


def _file(
    parent: int, name: str, path: str, status: os.stat_result, walk: _Walk
) -> Iterator[bytes]:
    inode = (status.st_dev, status.st_ino)
    first = walk.first_paths.get(inode) if status.st_nlink > 1 else None
    if first is not None:
        info = _header(path, tarfile.LNKTYPE, status)
        info.linkname = first
        yield _written(info)
        return
    descriptor = os.open(name, _FILE_FLAGS, dir_fd=parent)
    try:
        opened = os.fstat(descriptor)
        reason = _why_not_read(opened, walk.limits)
        if reason:
            walk.report(path, reason)
            return
        if opened.st_nlink > 1:
            walk.first_paths[(opened.st_dev, opened.st_ino)] = path
        info = _header(path, tarfile.REGTYPE, opened)
        info.size = opened.st_size
        info.pax_headers = _capabilities(descriptor)
        yield _written(info)
        yield from _content(descriptor, opened.st_size, path, walk)
    finally:
        os.close(descriptor)


def _why_not_read(status: os.stat_result, limits: Limits) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "replaced while being read"
    # A sparse log of a terabyte would use up the whole layer's limit with zeros.
    if status.st_size - status.st_blocks * 512 > limits.file_bytes:
        return "sparse: its holes are larger than limits.file_bytes"
    return ""


def _content(descriptor: int, size: int, path: str, walk: _Walk) -> Iterator[bytes]:
    """Yield exactly ``size`` bytes and the padding; what the file no longer has is zeros."""
    left = size
    try:
        while left and (data := os.read(descriptor, min(left, CHUNK_BYTES))):
            left -= len(data)
            yield data
        reason = "shorter than when it was opened" if left else ""
    except OSError as error:
        reason = _reason(error)
    if reason:
        walk.report(path, reason)
    while left:
        step = min(left, CHUNK_BYTES)
        left -= step
        yield bytes(step)
    if padding := -size % tarfile.BLOCKSIZE:
        yield bytes(padding)


def _header(path: str, kind: bytes, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type = kind
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    info.mtime = int(status.st_mtime)
    return info


def _written(info: tarfile.TarInfo) -> bytes:
    return plain_header(info) or info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def plain_header(info: tarfile.TarInfo) -> bytes:
    """Return the one block of a file or directory that needs no more; empty for any other.

    The same as ``TarInfo.tobuf``, which would take half of the whole walk's time.
    """
    path = f"{info.name}/" if info.isdir() else info.name
    if (
        info.type not in {tarfile.REGTYPE, tarfile.DIRTYPE}
        or info.pax_headers
        or not path.isascii()
        or len(path) > tarfile.LENGTH_NAME
        or max(info.uid, info.gid) > _OCTAL_7
        or not (0 <= info.mtime <= _OCTAL_11 and info.size <= _OCTAL_11)
    ):
        return b""
    numbers = (info.mode & 0o7777, info.uid, info.gid, info.size, int(info.mtime))
    head = path.encode().ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % numbers
    tail = (info.type + bytes(100) + _USTAR).ljust(tarfile.BLOCKSIZE - len(head) - 8, b"\0")
    return b"%b%06o\0 %b" % (head, sum(head) + 8 * 0x20 + sum(tail), tail)


def _capabilities(descriptor: int) -> dict[str, str]:
    """Return the file's capabilities as a PAX record; none where there are none or we may not ask."""
    try:
        value = os.getxattr(descriptor, _CAPABILITY)
    except OSError:
        return {}
    return {f"SCHILY.xattr.{_CAPABILITY}": value.decode("utf-8", "surrogateescape")}


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _printable(path: str) -> str:
    r"""Return a path that can be written as UTF-8; bytes that are not become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
