"""Rust binaries built with cargo auditable."""

from __future__ import annotations

import json
import zlib

import pytest
from support.analyzer_samples import elf, mach_o, pe

from scanner.analyzers.packages.rust_binary import ANALYZERS, AUDIT_BYTES
from scanner.errors import LimitExceededError, MalformedFileError
from scanner.model import Package
from scanner.ports import LayerFile

(ANALYZER,) = ANALYZERS
PATH = "usr/bin/tool"
CRATES = {
    "packages": [
        {"name": "adler", "version": "1.0.2", "source": "crates.io"},
        {"name": "cc", "version": "1.0.1", "source": "crates.io", "kind": "build"},
        {"name": "tool", "version": "0.1.0", "source": "local", "dependencies": [0], "root": True},
    ],
    "format": 8,
}
WANT = [
    Package(purl_type="cargo", name="adler", version="1.0.2", path=PATH),
    Package(purl_type="cargo", name="tool", version="0.1.0", path=PATH),
]


def parse(body):
    return list(ANALYZER.parse(LayerFile(PATH, body)))


def section(value):
    return {".text": b"code", ".dep-v0": zlib.compress(json.dumps(value).encode())}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(elf(section(CRATES)), id="elf"),
        pytest.param(elf(section(CRATES), wide=False, order=">"), id="elf_32_big_endian"),
        pytest.param(pe(section(CRATES)), id="pe"),
        pytest.param(mach_o(section(CRATES)), id="mach_o"),
        pytest.param(elf({".dep-v0": section(CRATES)[".dep-v0"] + bytes(40)}), id="padded"),
    ],
)
def test_parse(body):
    assert parse(body) == WANT


def test_other_binaries_have_nothing():
    assert parse(elf({".text": b".dep-v0\0"})) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"not zlib", id="not_zlib"),
        pytest.param(zlib.compress(b"{}" * 100)[:-8], id="cut_off"),
        pytest.param(zlib.compress(b"nonsense"), id="not_json"),
        pytest.param(zlib.compress(b"[" * 100_000), id="deep"),
        pytest.param(zlib.compress(b"\xff\xfe\xfd"), id="not_utf8"),
        pytest.param(zlib.compress(b"[]"), id="not_a_table"),
        pytest.param(zlib.compress(b'{"packages": 3}'), id="no_list"),
        pytest.param(zlib.compress(b'{"packages": [3]}'), id="no_crate"),
        pytest.param(zlib.compress(b'{"packages": [{"name": "x"}]}'), id="no_version"),
    ],
)
def test_parse_rejects(content):
    with pytest.raises(MalformedFileError):
        parse(elf({".dep-v0": content}))


def test_bomb():
    with pytest.raises(LimitExceededError) as caught:
        parse(elf({".dep-v0": zlib.compress(b" " * (AUDIT_BYTES + 1))}))
    assert caught.value.limit == "rust_audit_bytes"
