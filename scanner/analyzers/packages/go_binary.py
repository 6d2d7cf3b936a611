"""Go binaries: the modules and the toolchain that the linker wrote into an executable.

A module replaced by another one is reported as the replacement; one replaced by a local directory keeps
its own name and version, because that is what advisories speak of. Names are lower case, as in purls.

Source: https://github.com/golang/go/blob/master/src/debug/buildinfo/buildinfo.go
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from scanner.analyzers import _elf, _executable
from scanner.analyzers._elf import Segment
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

MODULE_INFO_BYTES: Final = 16 * 1024 * 1024
_VERSION_BYTES: Final = 1_024
_MARK: Final = b"\xff Go buildinf:"
_ALIGNMENT: Final = 16
_HEADER_BYTES: Final = 32
_SENTINEL_BYTES: Final = 16
_SECTIONS: Final = (".go.buildinfo", "__go_buildinfo")
_RELEASE: Final = re.compile(r"\bgo(\d[\w.]*(?:-(?!X:)[\w.]+)?)")
_LINKED_VERSION: Final = re.compile(r"-X[ =]['\"\\]*main\.[vV]ersion=([^\s'\"\\]+)")


class _Module(NamedTuple):
    name: str
    version: str


def _places(file: LayerFile) -> Iterator[tuple[int, int, int]]:
    """Yield (offset, end, address) of every part of the file that may hold the build information."""
    for name in _SECTIONS:
        section = _executable.find_section(file.data, name, file.path)
        if section is not None:
            yield section.offset, section.offset + section.size, section.address
            return
    is_elf = file.data[:4] == _elf.MAGIC
    if is_elf and _elf.has_section_name(file.data, "gopclntab", file.path) is False:
        return  # has sections, and none of them is Go's
    for segment in _executable.segments(file.data, file.path):
        if segment.writable and not segment.executable and segment.size:
            yield segment.offset, segment.offset + segment.size, segment.address
            if is_elf:
                return


def _find_mark(file: LayerFile) -> int:
    """Return the offset of the build information header, or -1."""
    for start, end, address in _places(file):
        at = file.data.find(_MARK, start, end)
        while at >= 0:
            if (at - start + address) % _ALIGNMENT == 0:
                return at
            at = file.data.find(_MARK, at + 1, end)
    return -1


def _inline(file: LayerFile, at: int, limit: int) -> tuple[bytes, int]:
    """Return the varint-prefixed bytes at ``at`` and the offset after them."""
    size = shift = 0
    for byte in file.data[at : at + 5]:
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            break
    if size > limit or at + size > len(file.data):
        raise MalformedFileError(file.path, "Go build information reaches beyond its bounds")
    return file.data[at : at + size], at + size


def _pointed(
    file: LayerFile, pointer: int, layout: str, loaded: list[Segment], limit: int
) -> bytes:
    """Return the bytes of the Go string whose header lies at virtual address ``pointer``."""
    width = struct.calcsize(layout)
    header_at = _elf.file_offset(loaded, pointer, 2 * width)
    if header_at is None:
        return b""
    address, size = struct.unpack_from(layout[0] + 2 * layout[1], file.data, header_at)
    if size > limit:
        raise MalformedFileError(file.path, "Go build information reaches beyond its bounds")
    at = _elf.file_offset(loaded, address, size)
    return b"" if at is None else file.data[at : at + size]


def _read_information(file: LayerFile, at: int) -> tuple[bytes, bytes]:
    """Return the toolchain's version and the framed module information."""
    header = file.data[at : at + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES:
        raise MalformedFileError(file.path, "Go build information is cut off")
    pointer_bytes, flags = header[14], header[15]
    if flags & 2:
        version, after = _inline(file, at + _HEADER_BYTES, _VERSION_BYTES)
        return version, _inline(file, after, MODULE_INFO_BYTES)[0]
    if pointer_bytes not in (4, 8):
        raise MalformedFileError(
            file.path, f"Go build information: pointers of {pointer_bytes} bytes"
        )
    layout = (">" if flags & 1 else "<") + ("Q" if pointer_bytes == 8 else "I")  # noqa: PLR2004
    loaded = _executable.segments(file.data, file.path)
    (version_at,) = struct.unpack_from(layout, header, 16)
    (modules_at,) = struct.unpack_from(layout, header, 16 + pointer_bytes)
    return (
        _pointed(file, version_at, layout, loaded, _VERSION_BYTES),
        _pointed(file, modules_at, layout, loaded, MODULE_INFO_BYTES),
    )


def _unframed(information: bytes) -> str:
    if len(information) <= 2 * _SENTINEL_BYTES or information[-17:-16] != b"\n":
        return ""
    return information[_SENTINEL_BYTES:-_SENTINEL_BYTES].decode("utf-8", "replace")


def _modules(information: str) -> list[_Module]:
    """Return main module and dependencies, replacements applied."""
    found: list[_Module] = []
    for line in information.splitlines():
        kind, *fields = line.split("\t")
        if len(fields) < 1 or not fields[0]:
            continue
        version = fields[1] if len(fields) > 1 else ""
        if kind in ("mod", "dep"):
            found.append(_Module(fields[0], version))
        elif kind == "=>" and found and version:
            found[-1] = _Module(fields[0], version)
    if found and found[0].version in ("", "(devel)"):
        linked = _LINKED_VERSION.search(information)
        found[0] = found[0]._replace(version=linked[1] if linked else "")
    return found


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield the toolchain as ``stdlib``, then the main module, then its dependencies.

    Raises:
        MalformedFileError: headers or build information that point beyond the file or their bounds.
    """
    at = _find_mark(file)
    if at < 0:
        return
    version, information = _read_information(file, at)
    release = _RELEASE.search(version.decode("utf-8", "replace"))
    toolchain = [_Module("stdlib", release[1])] if release else []
    for module in toolchain + _modules(_unframed(information)):
        yield Package(
            purl_type="golang", name=module.name.lower(), version=module.version, path=file.path
        )


ANALYZERS: Final = (
    FileAnalyzer(
        name="go/binary",
        version=1,
        interest=Interest(magics=_executable.MAGICS),
        parse=parse,
        max_file_bytes=1024**3,
        summary="modules and toolchain of Go executables",
        purl_types=("golang",),
    ),
)
