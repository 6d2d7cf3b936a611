"""A bounded reader of ELF headers, sections and segments: just enough to find a section's bytes.

Every ELF file of an image comes through here, so asking for a section that is not there costs one
search in the section name table and no walk.

Source: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

from __future__ import annotations

import mmap
import struct
from typing import Final, NamedTuple, TypeAlias

from scanner.errors import MalformedFileError

Bytes: TypeAlias = bytes | mmap.mmap

MAGIC: Final = b"\x7fELF"
SECTIONS_COUNT: Final = 65_536
SEGMENTS_COUNT: Final = 4_096
_NAME_BYTES: Final = 256
_NO_BITS: Final = 8
_LOAD: Final = 1
_EXTENDED: Final = 0xFFFF


class Section(NamedTuple):
    """Where a section lies: bytes in the file, and its virtual address."""

    offset: int
    size: int
    address: int


class Segment(NamedTuple):
    """A loaded part of a file. ``size`` is what the file holds of it."""

    offset: int
    size: int
    address: int
    writable: bool
    executable: bool


class _Header(NamedTuple):
    order: str
    wide: bool
    segments_offset: int
    segment_bytes: int
    segments_count: int
    sections_offset: int
    section_bytes: int
    sections_count: int
    names_index: int


class _RawSection(NamedTuple):
    name: int
    type: int
    address: int
    offset: int
    size: int
    link: int


def _unpack(layout: str, data: Bytes, offset: int, path: str) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, data, offset)
    except (struct.error, OverflowError) as error:
        raise MalformedFileError(path, "ELF header points beyond the file") from error


def _read_header(data: Bytes, path: str) -> _Header:
    if data[:4] != MAGIC:
        raise MalformedFileError(path, "not an ELF file")
    word_class, byte_order = _unpack("2B", data, 4, path)
    if word_class not in (1, 2) or byte_order not in (1, 2):
        raise MalformedFileError(path, "ELF class or byte order unknown")
    wide, order = word_class == 2, "<" if byte_order == 1 else ">"  # noqa: PLR2004
    phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx = _unpack(
        order + ("2QI6H" if wide else "2II6H"), data, 32 if wide else 28, path
    )
    return _Header(order, wide, phoff, phentsize, phnum, shoff, shentsize, shnum, shstrndx)


def _read_section(data: Bytes, header: _Header, index: int, path: str) -> _RawSection:
    at = header.sections_offset + index * header.section_bytes
    layout = header.order + ("2I4QI" if header.wide else "7I")
    name, kind, _, address, offset, size, link = _unpack(layout, data, at, path)
    return _RawSection(name, kind, address, offset, size, link)


def _with_extended_counts(data: Bytes, header: _Header, path: str) -> _Header:
    """Take counts that do not fit 16 bits from section 0, and bound them."""
    minimum = 64 if header.wide else 40
    if header.section_bytes < minimum:
        raise MalformedFileError(path, "ELF section headers are too small")
    if header.sections_count == 0 or header.names_index == _EXTENDED:
        first = _read_section(data, header, 0, path)
        header = header._replace(
            sections_count=header.sections_count or first.size,
            names_index=first.link if header.names_index == _EXTENDED else header.names_index,
        )
    if header.sections_count > SECTIONS_COUNT:
        raise MalformedFileError(path, f"more than {SECTIONS_COUNT} ELF sections")
    return header


def _section_table(data: Bytes, path: str) -> tuple[_Header, _RawSection] | None:
    """Return the header and the name table's section, or None where there is no section table."""
    header = _read_header(data, path)
    if header.sections_offset == 0:
        return None
    header = _with_extended_counts(data, header, path)
    if header.sections_count == 0 or header.names_index == 0:
        return None
    if header.names_index >= header.sections_count:
        raise MalformedFileError(path, "ELF section name table is not a section")
    names = _read_section(data, header, header.names_index, path)
    if names.offset + names.size > len(data):
        raise MalformedFileError(path, "ELF section name table reaches beyond the file")
    return header, names


def _name_at(data: Bytes, names: _RawSection, index: int) -> str:
    start = names.offset + index
    limit = min(names.offset + names.size, start + _NAME_BYTES, len(data))
    end = data.find(b"\0", start, limit) if start < limit else -1
    return data[start:end].decode("latin-1") if end >= 0 else ""


def sections(data: Bytes, path: str = "") -> dict[str, Section]:
    """Return sections by name; those without bytes in the file are left out, the first of a name wins.

    Raises:
        MalformedFileError: not ELF, or a table that lies outside the file.
    """
    found = _section_table(data, path)
    if found is None:
        return {}
    header, names = found
    result: dict[str, Section] = {}
    for index in range(header.sections_count):
        raw = _read_section(data, header, index, path)
        if raw.type == _NO_BITS or raw.size == 0:
            continue
        name = _name_at(data, names, raw.name)
        result.setdefault(name, Section(raw.offset, raw.size, raw.address))
    return result


def has_section_name(data: Bytes, name: str, path: str = "") -> bool | None:
    """Return whether the section name table holds ``name``; None where there is no section table.

    Raises:
        MalformedFileError: as :func:`sections`.
    """
    found = _section_table(data, path)
    if found is None:
        return None
    _, names = found
    return data.find(name.encode() + b"\0", names.offset, names.offset + names.size) >= 0


def find_section(data: Bytes, name: str, path: str = "") -> Section | None:
    """Return the section called ``name``, checked to lie inside the file, or None.

    Raises:
        MalformedFileError: as :func:`sections`, or the section reaches beyond the file.
    """
    if not has_section_name(data, name, path):
        return None
    section = sections(data, path).get(name)
    if section is not None and section.offset + section.size > len(data):
        raise MalformedFileError(path, f"section {name} reaches beyond the file")
    return section


def segments(data: Bytes, path: str = "") -> list[Segment]:
    """Return the loaded segments in file order, each cut to what the file holds.

    Raises:
        MalformedFileError: not ELF, or a table that lies outside the file or is absurdly long.
    """
    header = _read_header(data, path)
    if header.segments_count > SEGMENTS_COUNT:
        raise MalformedFileError(path, f"more than {SEGMENTS_COUNT} ELF segments")
    result: list[Segment] = []
    layout = header.order + ("2I4Q" if header.wide else "8I")
    for index in range(header.segments_count):
        at = header.segments_offset + index * header.segment_bytes
        fields = _unpack(layout, data, at, path)
        if fields[0] != _LOAD:
            continue
        if header.wide:
            _, flags, offset, address, _, size = fields
        else:
            _, offset, address, _, size, _, flags, _ = fields
        size = max(0, min(size, len(data) - offset))
        result.append(Segment(offset, size, address, bool(flags & 2), bool(flags & 1)))
    return result


def file_offset(found: list[Segment], address: int, size: int) -> int | None:
    """Return where ``size`` bytes at a virtual address lie in the file; None if nothing loads them all."""
    for segment in found:
        inside = address - segment.address
        if inside >= 0 and inside + size <= segment.size:
            return segment.offset + inside
    return None
