"""Hand-made executables and archives for tests of analyzers."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

BASE = 0x400000


def elf(
    found: dict[str, bytes], *, wide: bool = True, order: str = "<", segment_flags: int = 6
) -> bytes:
    """Return an ELF file of these sections, all in one segment that is loaded at ``BASE``."""
    names = b"\0"
    body = bytearray(64 if wide else 52)
    body += bytes(-len(body) % 16)
    headers = [(0, 0, 0, 0, 0, 0)]
    for name, content in [*found.items(), (".shstrtab", b"")]:
        is_names = name == ".shstrtab"
        at, name_at = len(body), len(names)
        names += name.encode() + b"\0"
        written = names if is_names else content
        body += written + bytes(-len(written) % 16)
        headers.append((name_at, 3 if is_names else 1, BASE + at, at, len(written), 0))
    segments_at = len(body)
    size = segments_at
    if wide:
        body += struct.pack(order + "2I6Q", 1, segment_flags, 0, BASE, BASE, size, size, 16)
    else:
        body += struct.pack(order + "8I", 1, 0, BASE, BASE, size, size, segment_flags, 16)
    sections_at = len(body)
    for name_at, kind, address, at, size, link in headers:
        layout = "2I4Q2I2Q" if wide else "10I"
        body += struct.pack(order + layout, name_at, kind, 0, address, at, size, link, 0, 1, 0)
    counts = (56 if wide else 32, 1, 64 if wide else 40, len(headers), len(headers) - 1)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    layout = "2HI3QI6H" if wide else "2HI3II6H"
    head_bytes = 64 if wide else 52
    head = struct.pack(
        order + layout, 2, 62, 1, 0, segments_at, sections_at, 0, head_bytes, *counts
    )
    body[:head_bytes] = ident + head
    return bytes(body)


def section_offset(number: int, contents: list[bytes], *, wide: bool = True) -> int:
    """Return where :func:`elf` puts the section of that number (0 is the first)."""
    return 64 + sum(len(c) + -len(c) % 16 for c in contents[:number])


def pe(found: dict[str, bytes]) -> bytes:
    """Return a PE32+ file of these writable sections."""
    head = bytearray(b"MZ\x90\x00" + bytes(56) + struct.pack("<I", 64) + b"PE\0\0")
    head += struct.pack("<2H3I2H", 0x8664, len(found), 0, 0, 0, 240, 0x22)
    head += struct.pack("<H22xQ", 0x20B, BASE) + bytes(240 - 32)
    at = len(head) + 40 * len(found)
    at += -at % 16
    start, body = at, bytearray()
    for name, content in found.items():
        here = start + len(body)
        size = len(content)
        head += name.encode().ljust(8, b"\0")
        head += struct.pack("<4I12xI", size, here, size, here, 0xC000_0040)
        body += content + bytes(-size % 16)
    return bytes(head.ljust(start, b"\0") + body)


def mach_o(found: dict[str, bytes], *, order: str = "<") -> bytes:
    """Return a 64-bit Mach-O file of these sections, in one writable segment."""
    command_bytes = 72 + 80 * len(found)
    start = 32 + command_bytes
    start += -start % 16
    head = struct.pack(order + "8I", 0xFEEDFACF, 0, 0, 2, 1, command_bytes, 0, 0)
    body, tables = bytearray(), b""
    for name, content in found.items():
        here = start + len(body)
        tables += name.encode().ljust(16, b"\0") + b"__DATA".ljust(16, b"\0")
        tables += struct.pack(order + "2Q8I", BASE + here, len(content), here, *(0,) * 7)
        body += content + bytes(-len(content) % 16)
    size = len(body)
    head += struct.pack(order + "2I", 0x19, command_bytes) + b"__DATA".ljust(16, b"\0")
    head += struct.pack(order + "4Q4I", BASE + start, size, start, size, 7, 3, len(found), 0)
    return (head + tables).ljust(start, b"\0") + bytes(body)


def archive(entries: dict[str, bytes | str], *, before: bytes = b"", stored: bool = False) -> bytes:
    """Return a ZIP archive of these entries, with ``before`` in front of it."""
    out = io.BytesIO()
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w", method) as written:
        for name, content in entries.items():
            written.writestr(name, content)
    return before + out.getvalue()


def raw_archive(entries: list[tuple[bytes, bytes, int]], *, same_body: bool = False) -> bytes:
    """Return a ZIP archive with exactly these (name, plain, claimed size) entries, deflated.

    With ``same_body`` all entries of the directory lead to the first one's bytes (they overlap).
    """
    body, directory = bytearray(), bytearray()
    first = 0
    for name, plain, claimed in entries:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflate.compress(plain) + deflate.flush()
        at = first if same_body else len(body)
        fields = (20, 0x800, 8, 0, 0, zlib.crc32(plain), len(packed), claimed, len(name))
        if not same_body or not body:
            body += b"PK\x03\x04" + struct.pack("<5H3L2H", *fields, 0) + name + packed
        directory += b"PK\x01\x02" + struct.pack("<6H3L5H2L", 20, *fields, 0, 0, 0, 0, 0, at)
        directory += name
    count = min(len(entries), 0xFFFF)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory) + end
