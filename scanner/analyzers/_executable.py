"""Sections and loaded segments of executables, whatever their format: ELF, PE or Mach-O.

Source: https://learn.microsoft.com/en-us/windows/win32/debug/pe-format
Source: https://github.com/apple-oss-distributions/cctools/blob/main/include/mach-o/loader.h
"""

from __future__ import annotations

import struct
from typing import Final

from scanner.analyzers import _elf
from scanner.analyzers._elf import Bytes, Section, Segment
from scanner.errors import MalformedFileError

PE_MAGIC: Final = b"MZ\x90\x00"
MACH_O_MAGICS: Final = (
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xfe\xed\xfa\xcf",
    b"\xfe\xed\xfa\xce",
)
MAGICS: Final = (_elf.MAGIC, PE_MAGIC, *MACH_O_MAGICS)
"""First bytes of everything read here. Universal Mach-O is left out: it begins as a Java class does."""

_COMMANDS_COUNT: Final = 4_096
_SECTIONS_COUNT: Final = 4_096
_SEGMENT_COMMANDS: Final = (0x1, 0x19)
_PE32_PLUS: Final = 0x20B


def _unpack(layout: str, data: Bytes, offset: int, path: str) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, data, offset)
    except (struct.error, OverflowError) as error:
        raise MalformedFileError(path, "executable header points beyond the file") from error


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("latin-1")


def _pe_parts(data: Bytes, path: str) -> tuple[dict[str, Section], list[Segment]]:
    (start,) = _unpack("<I", data, 0x3C, path)
    if data[start : start + 4] != b"PE\0\0":
        return {}, []  # a DOS program: no sections to speak of
    _, count, _, _, _, optional_bytes, _ = _unpack("<2H3I2H", data, start + 4, path)
    (kind,) = _unpack("<H", data, start + 24, path)
    base_at, layout = (start + 48, "<Q") if kind == _PE32_PLUS else (start + 52, "<I")
    (base,) = _unpack(layout, data, base_at, path)
    if count > _SECTIONS_COUNT:
        raise MalformedFileError(path, f"more than {_SECTIONS_COUNT} PE sections")
    sections: dict[str, Section] = {}
    segments: list[Segment] = []
    for index in range(count):
        at = start + 24 + optional_bytes + 40 * index
        loaded, address, stored, offset = _unpack("<4I", data, at + 8, path)
        (flags,) = _unpack("<I", data, at + 36, path)
        size = max(0, min(stored, loaded or stored, len(data) - offset))
        writable, executable = bool(flags & 0x8000_0000), bool(flags & 0x2000_0000)
        sections.setdefault(_text(data[at : at + 8]), Section(offset, size, base + address))
        segments.append(Segment(offset, size, base + address, writable, executable))
    return sections, segments


def _mach_segment(
    data: Bytes, at: int, order: str, *, wide: bool, path: str
) -> tuple[Segment, dict[str, Section]]:
    words = "4Q" if wide else "4I"
    address, _, offset, size = _unpack(order + words, data, at + 24, path)
    _, protection, count, _ = _unpack(order + "4I", data, at + (56 if wide else 40), path)
    if count > _SECTIONS_COUNT:
        raise MalformedFileError(path, f"more than {_SECTIONS_COUNT} Mach-O sections")
    size = max(0, min(size, len(data) - offset))
    segment = Segment(offset, size, address, bool(protection & 2), bool(protection & 4))
    first, step = (at + 72, 80) if wide else (at + 56, 68)
    sections: dict[str, Section] = {}
    for index in range(count):
        here = first + index * step
        layout = order + ("2QI" if wide else "3I")
        section_address, section_bytes, section_offset = _unpack(layout, data, here + 32, path)
        name = _text(data[here : here + 16])
        sections.setdefault(name, Section(section_offset, section_bytes, section_address))
    return segment, sections


def _mach_parts(data: Bytes, path: str) -> tuple[dict[str, Section], list[Segment]]:
    magic = data[:4]
    order = "<" if magic[3] == MACH_O_MAGICS[0][3] else ">"
    wide = MACH_O_MAGICS[0][0] in (magic[0], magic[3])
    count = _unpack(order + "4I", data, 4, path)[3]
    if count > _COMMANDS_COUNT:
        raise MalformedFileError(path, f"more than {_COMMANDS_COUNT} Mach-O load commands")
    sections: dict[str, Section] = {}
    segments: list[Segment] = []
    at = 32 if wide else 28
    for _ in range(count):
        command, command_bytes = _unpack(order + "2I", data, at, path)
        if command in _SEGMENT_COMMANDS:
            segment, inside = _mach_segment(data, at, order, wide=wide, path=path)
            segments.append(segment)
            sections = inside | sections
        at += max(command_bytes, 8)
    return sections, segments


def _parts(data: Bytes, path: str) -> tuple[dict[str, Section], list[Segment]]:
    if data[:4] in MACH_O_MAGICS:
        return _mach_parts(data, path)
    return _pe_parts(data, path)


def find_section(data: Bytes, name: str, path: str) -> Section | None:
    """Return the section called ``name``, checked to lie inside the file, or None.

    Raises:
        MalformedFileError: a header that contradicts the file.
    """
    if data[:4] == _elf.MAGIC:
        return _elf.find_section(data, name, path)
    section = _parts(data, path)[0].get(name)
    if section is not None and section.offset + section.size > len(data):
        raise MalformedFileError(path, f"section {name} reaches beyond the file")
    return section


def segments(data: Bytes, path: str) -> list[Segment]:
    """Return the loaded segments in file order; raises like :func:`find_section`."""
    if data[:4] == _elf.MAGIC:
        return _elf.segments(data, path)
    return _parts(data, path)[1]
