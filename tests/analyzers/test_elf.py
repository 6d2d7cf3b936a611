"""The ELF reader, with headers that lie."""

from __future__ import annotations

import mmap
import struct

import pytest
from support.analyzer_samples import BASE, elf

from scanner.analyzers._elf import (
    SECTIONS_COUNT,
    Section,
    Segment,
    file_offset,
    find_section,
    has_section_name,
    sections,
    segments,
)
from scanner.errors import MalformedFileError

CONTENT = {".text": b"code", ".note": b"n" * 20}
SAMPLE = elf(CONTENT)


def patched(offset: int, layout: str, *values: int) -> bytes:
    body = bytearray(SAMPLE)
    struct.pack_into("<" + layout, body, offset, *values)
    return bytes(body)


def patched_section(index: int, offset: int, layout: str, *values: int) -> bytes:
    (table_at,) = struct.unpack_from("<Q", SAMPLE, 40)
    return patched(table_at + 64 * index + offset, layout, *values)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("wide", [True, False], ids=["64", "32"])
def test_sections_and_segments(wide, order):
    body = elf(CONTENT, wide=wide, order=order)
    found = sections(body)
    assert list(found) == [".text", ".note", ".shstrtab"]
    for name, content in CONTENT.items():
        section = found[name]
        assert section == find_section(body, name)
        assert body[section.offset : section.offset + section.size] == content
        assert section.address == BASE + section.offset
    (segment,) = segments(body)
    assert segment == Segment(0, segment.size, BASE, writable=True, executable=False)
    assert file_offset([segment], BASE + 100, 4) == 100
    assert file_offset([segment], BASE - 1, 4) is None
    assert file_offset([segment], BASE + segment.size - 2, 4) is None


def test_names_that_are_not_there():
    assert has_section_name(SAMPLE, ".text") is True
    assert has_section_name(SAMPLE, ".gone") is False
    assert find_section(SAMPLE, ".gone") is None


def test_file_without_sections():
    body = patched(40, "Q", 0)
    assert has_section_name(body, ".text") is None
    assert sections(body) == {}


def test_sections_without_bytes_are_left_out():
    assert find_section(patched_section(1, 4, "I", 8), ".text") is None


def test_more_sections_than_16_bits_hold():
    body = bytearray(patched(60, "2H", 0, 0xFFFF))
    (table_at,) = struct.unpack_from("<Q", SAMPLE, 40)
    struct.pack_into("<QI", body, table_at + 32, 4, 3)
    assert find_section(bytes(body), ".text") == find_section(SAMPLE, ".text")


HUGE = (1 << 64) - 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x7fELF", id="magic_only"),
        pytest.param(SAMPLE[:60], id="half_a_header"),
        pytest.param(SAMPLE[:-200], id="cut_off"),
        pytest.param(b"\x7fELF\x07\x01" + SAMPLE[6:], id="unknown_class"),
        pytest.param(b"\x7fELF\x02\x03" + SAMPLE[6:], id="unknown_byte_order"),
        pytest.param(patched(40, "Q", HUGE), id="table_beyond_any_file"),
        pytest.param(patched(58, "H", 1), id="tiny_section_headers"),
        pytest.param(patched(62, "H", 900), id="names_are_no_section"),
        pytest.param(patched_section(3, 24, "Q", HUGE), id="names_beyond_the_file"),
        pytest.param(patched_section(3, 32, "Q", HUGE), id="names_too_long"),
        pytest.param(patched_section(1, 32, "Q", HUGE), id="section_too_long"),
        pytest.param(patched_section(1, 24, "Q", HUGE), id="section_beyond_the_file"),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True], ids=["bytes", "mmap"])
def test_rejects(body, on_disk, tmp_path):
    if not on_disk:
        with pytest.raises(MalformedFileError):
            find_section(body, ".text", "x")
        return
    path = tmp_path / "x"
    path.write_bytes(body or b"\0")
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:  # noqa: SIM117
        with pytest.raises(MalformedFileError):
            find_section(data, ".text", "x")


def test_absurd_counts():
    body = bytearray(patched(60, "H", 0))
    (table_at,) = struct.unpack_from("<Q", SAMPLE, 40)
    struct.pack_into("<Q", body, table_at + 32, SECTIONS_COUNT + 1)
    with pytest.raises(MalformedFileError, match="ELF sections"):
        sections(bytes(body), "x")
    with pytest.raises(MalformedFileError, match="ELF segments"):
        segments(patched(56, "H", 0xFFFE), "x")


def test_segment_is_cut_to_the_file():
    body = bytearray(SAMPLE)
    (at,) = struct.unpack_from("<Q", SAMPLE, 32)
    struct.pack_into("<Q", body, at + 32, HUGE)
    assert segments(bytes(body)) == [Segment(0, len(SAMPLE), BASE, writable=True, executable=False)]


def test_same_section_twice():
    twice = patched_section(2, 0, "I", 1)
    text_at = sections(SAMPLE)[".text"].offset
    assert sections(twice)[".text"] == Section(text_at, 4, BASE + text_at)
