"""Go binaries: hand-made ones, and real ones where the toolchain is at hand."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess

import pytest
from support.analyzer_samples import BASE, elf, mach_o, pe, section_offset

from scanner.analyzers.packages.go_binary import ANALYZERS, MODULE_INFO_BYTES
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import LayerFile

(ANALYZER,) = ANALYZERS
PATH = "usr/bin/tool"
MARK = b"\xff Go buildinf:"
SENTINEL = bytes(range(16))
LINES = [
    "path\texample.com/Tool/cmd",
    "mod\texample.com/Tool\tv1.4.0\th1:a=",
    "dep\tgithub.com/BurntSushi/toml\tv1.3.2\th1:b=",
    "dep\tgolang.org/x/text\tv0.14.0",
    "=>\tgolang.org/x/text\tv0.13.0\th1:c=",
    "dep\texample.com/near\tv0.1.0",
    "=>\t../near\t",
    "build\t-compiler=gc",
]
WANT = [
    ("stdlib", "1.22.1"),
    ("example.com/tool", "v1.4.0"),
    ("github.com/burntsushi/toml", "v1.3.2"),
    ("golang.org/x/text", "v0.13.0"),
    ("example.com/near", "v0.1.0"),
]


def parse(body):
    return list(ANALYZER.parse(LayerFile(PATH, body)))


def go(name, version):
    return Package(purl_type="golang", name=name, version=version, path=PATH)


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def framed(lines):
    return SENTINEL + "".join(f"{line}\n" for line in lines).encode() + SENTINEL


def inline(version="go1.22.1", lines=LINES, *, information=None):
    information = framed(lines) if information is None else information
    head = (MARK + bytes([8, 2])).ljust(32, b"\0")
    version = version.encode()
    return head + varint(len(version)) + version + varint(len(information)) + information


def pointed(*, wide, order):
    """Return build information of Go 1.17 and older: pointers to string headers."""
    word, width = ("Q", 8) if wide else ("I", 4)
    start = BASE + section_offset(0, [])
    if not wide:
        start = BASE + 64  # 52 bytes of header, aligned
    version, information = b"go1.17.13", framed(LINES)
    headers_at = start + 32
    texts_at = headers_at + 4 * width
    head = MARK + bytes([width, 0 if order == "<" else 1])
    head += struct.pack(order + 2 * word, headers_at, headers_at + 2 * width)
    strings = struct.pack(
        order + 4 * word, texts_at, len(version), texts_at + len(version), len(information)
    )
    return head.ljust(32, b"\0") + strings + version + information


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(elf({".go.buildinfo": inline()}), id="elf_64"),
        pytest.param(elf({".go.buildinfo": inline()}, wide=False), id="elf_32"),
        pytest.param(elf({".go.buildinfo": inline()}, order=">"), id="elf_64_big_endian"),
        pytest.param(elf({".go.buildinfo": bytes(48) + inline()}), id="not_at_the_start"),
        pytest.param(
            elf({".go.buildinfo": b"x" + MARK + bytes(17) + inline()}), id="unaligned_mark"
        ),
        pytest.param(elf({".data": bytes(4096) + inline(), ".gopclntab": b"x"}), id="elf_segment"),
        pytest.param(pe({".text": b"x", ".data": bytes(64) + inline()}), id="pe"),
        pytest.param(mach_o({"__data": b"x", "__go_buildinfo": inline()}), id="mach_o"),
        pytest.param(mach_o({"__go_buildinfo": inline()}, order=">"), id="mach_o_big_endian"),
        pytest.param(mach_o({"__data": inline()}), id="mach_o_segment"),
    ],
)
def test_inline_information(body):
    assert parse(body) == [go(*one) for one in WANT]


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("wide", [True, False], ids=["64", "32"])
def test_pointed_information(wide, order):
    body = elf({".go.buildinfo": pointed(wide=wide, order=order)}, wide=wide, order=order)
    assert parse(body) == [go("stdlib", "1.17.13"), *(go(*one) for one in WANT[1:])]


def test_file_on_disk(tmp_path):
    path = tmp_path / "tool"
    path.write_bytes(elf({".go.buildinfo": inline()}))
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert parse(data) == [go(*one) for one in WANT]


@pytest.mark.parametrize(
    ("version", "want"),
    [
        ("go1.22.1", "1.22.1"),
        ("go1.21rc2", "1.21rc2"),
        ("go1.22.1 X:nocoverageredesign", "1.22.1"),
        ("go1.24.1-X:strictfipsruntime", "1.24.1"),
        ("devel go1.23-0a1b2c3 Mon Jan 1 00:00:00 2024 +0000", "1.23-0a1b2c3"),
        ("go1.20.5 (Red Hat 1.20.5-1.el9)", "1.20.5"),
    ],
)
def test_toolchain_version(version, want):
    assert parse(elf({".go.buildinfo": inline(version, [])})) == [go("stdlib", want)]


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        pytest.param('"-s -w -X main.version=v2.0.0"', "v2.0.0", id="set"),
        pytest.param("\"-X 'main.Version=2.1' -s\"", "2.1", id="quoted"),
        pytest.param('"-X=main.version=v3"', "v3", id="equals"),
        pytest.param('"-X main.commit=abc"', "", id="something_else"),
    ],
)
def test_version_of_a_development_build(flags, want):
    lines = ["path\tx", "mod\texample.com/x\t(devel)\t", f"build\t-ldflags={flags}"]
    body = elf({".go.buildinfo": inline(lines=lines)})
    assert parse(body)[1:] == [go("example.com/x", want)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(elf({".text": b"x" * 64}), id="not_go"),
        pytest.param(elf({".data": inline()}), id="mark_in_another_program"),
        pytest.param(elf({".go.buildinfo": bytes(64)}), id="empty_section"),
        pytest.param(b"MZ\x90\x00" + bytes(200), id="dos_program"),
    ],
)
def test_no_information(body):
    assert parse(body) == []


def test_information_without_modules():
    assert parse(elf({".go.buildinfo": inline(information=b"short")})) == [go("stdlib", "1.22.1")]


HEAD = (MARK + bytes([8, 2])).ljust(32, b"\0")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEAD + varint(MODULE_INFO_BYTES * 4), id="version_too_long"),
        pytest.param(HEAD + varint(3) + b"go1" + varint(1 << 30), id="modules_too_long"),
        pytest.param(HEAD + b"\xff" * 16, id="varint_without_end"),
        pytest.param((MARK + bytes([3, 0])).ljust(64, b"\0"), id="odd_pointers"),
    ],
)
def test_rejects_broken_information(content):
    with pytest.raises(MalformedFileError):
        parse(elf({".go.buildinfo": content}))


def test_pointers_to_nowhere_give_nothing():
    head = MARK + bytes([8, 0]) + struct.pack("<2Q", 1 << 63, (1 << 64) - 1)
    assert parse(elf({".go.buildinfo": head.ljust(32, b"\0")})) == []


@pytest.mark.skipif(shutil.which("go") is None, reason="needs the Go toolchain")
def test_equals_go_version(tmp_path):
    """A module without dependencies builds without network."""
    (tmp_path / "go.mod").write_text("module example.com/real\n\ngo 1.18\n")
    (tmp_path / "main.go").write_text("package main\n\nfunc main() { println(1) }\n")
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
    }
    command = ["go", "build", "-ldflags=-s -w -X main.version=v9.8.7", "-o", "real", "."]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    told = subprocess.run(
        ["go", "version", "-m", "real"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    toolchain = told.splitlines()[0].split("go")[-1]
    assert parse((tmp_path / "real").read_bytes()) == [
        go("stdlib", toolchain),
        go("example.com/real", "v9.8.7"),
    ]
