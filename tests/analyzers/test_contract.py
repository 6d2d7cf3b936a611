"""What every analyzer promises, checked for each that discovery finds; a new one is covered by itself."""

from __future__ import annotations

import gzip
import importlib
import pkgutil
import zlib

import msgspec
import pytest

from scanner.analyzers import config, crypto, packages, secrets
from scanner.discovery import analyzers
from scanner.errors import InputError
from scanner.layers.interest import InterestTable
from scanner.model import Finding, Kept, OwnedFiles, Package
from scanner.model.report import FileIssue
from scanner.ports import FileAnalyzer, LayerFile

FILE_ANALYZERS = [a for a in analyzers() if isinstance(a, FileAnalyzer)]
ELF64 = b"\x7fELF\x02\x01\x01" + bytes(9)

HOSTILE = {
    "empty": b"",
    "one_byte": b"\x00",
    "newlines": b"\n" * 50_000,
    "spaces": b" " * 50_000,
    "nul": bytes(4096),
    "all_ones": b"\xff" * 4096,
    "every_byte": bytes(range(256)) * 16,
    "bad_utf8": b"name: \xff\xfe\nversion: \xc3\x28\n",
    "utf16": "Name: x\nVersion: 1\n".encode("utf-16"),
    "byte_order_mark": b"\xef\xbb\xbf",
    "long_line": b"a" * 200_000,
    "long_key": b"a" * 100_000 + b": " + b"b" * 100_000,
    "colons": b":" * 100_000,
    "dashes": b"-" * 100_000,
    "equals": b"a = b = " * 20_000,
    "quotes": b'"' * 99_999,
    "backslashes": b"\\\n" * 20_000,
    "continuations": b"License: a\n" + b" b\n" * 20_000,
    "blank_stanzas": b"Package: \n\n" * 20_000,
    "names_without_versions": b"Name: x\nPackage: x\nP:x\n\n",
    "versions_without_names": b"Version: 1\nV:1\n\n",
    "open_brackets": b"[" * 100_000,
    "open_braces": b'{"a":' * 100_000,
    "packages_brackets": b'{"packages":' + b"[" * 100_000,
    "toml_brackets": b"a = " + b"[" * 100_000,
    "toml_dotted": b"a." * 50_000 + b"b = 1\n",
    "json_null": b"null",
    "json_true": b"true",
    "json_number": b"7",
    "json_text": b'"x"',
    "json_list": b"[]",
    "json_table": b"{}",
    "json_nan": b'{"name": NaN, "version": Infinity}',
    "json_huge_number": b'{"version": ' + b"9" * 10_000 + b"}",
    "json_surrogate": b'{"name": "\\ud800", "version": "\\udfff"}',
    "json_wrong_types": b'{"name": 7, "version": [], "license": {"type": 3}, "licenses": [null, 7]}',
    "json_wrong_packages": b'{"lockfileVersion": 3, "packages": {"node_modules/x": 7, "": null}}',
    "json_wrong_dependencies": b'{"dependencies": [1], "default": 3, "packages": [7, null, {"name": []}]}',
    "json_packages_text": b'{"packages": "x", "dependencies": "y", "default": "z"}',
    "toml_wrong_types": b'[[package]]\nname = 7\nversion = ["1"]\n',
    "toml_wrong_shape": b"package = 3\npackages = 4\n",
    "toml_no_version": b'[[package]]\nname = "x"\n[[packages]]\nname = "x"\n',
    "yaml_aliases": b"a: &a [x,x]\nb: &b [*a,*a]\npackages: [*b,*b]\n",
    "yaml_flow": b"lockfileVersion: '9.0'\npackages: {" + b"{" * 50_000,
    "xml_bomb": b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><project>&b;</project>',
    "pem_without_end": b"-----BEGIN PRIVATE KEY-----\n" * 5_000,
    "pem_of_nothing": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" * 100,
    "der_endless": b"\x30\x84\xff\xff\xff\xff" * 100,
    "der_nested": b"\x30\x80" * 10_000,
    "elf_cut_off": b"\x7fELF",
    "elf_header_only": ELF64 + bytes(48),
    "elf_absurd": ELF64 + b"\xff" * 4096,
    "elf_absurd_32_big": b"\x7fELF\x01\x02\x01" + bytes(9) + b"\xfe" * 4096,
    "pe_cut_off": b"MZ\x90\x00",
    "pe_absurd": b"MZ\x90\x00" + b"\xff" * 4096,
    "pe_points_at_itself": b"MZ\x90\x00" + bytes(56) + b"\x40\0\0\0PE\0\0" + b"\xff" * 512,
    "mach_o_absurd": b"\xcf\xfa\xed\xfe" + b"\xff" * 4096,
    "mach_o_zero_commands": b"\xcf\xfa\xed\xfe" + bytes(12) + b"\x10" + bytes(4096),
    "zip_end_only": b"PK\x05\x06" + bytes(18),
    "zip_end_absurd": b"PK\x05\x06" + b"\xff" * 18,
    "zip_local_only": b"PK\x03\x04" + b"\xff" * 64,
    "gzip_of_zeros": gzip.compress(bytes(1_000_000)),
    "zlib_of_zeros": zlib.compress(bytes(1_000_000)),
    "sqlite_header_only": b"SQLite format 3\0" + b"\xff" * 4096,
    "rpm_ndb_absurd": b"RpmP" + b"\xff" * 4096,
    "rpm_bdb_absurd": bytes(12) + b"\x61\x15\x06\x00" + b"\xff" * 4096,
    "rpm_header_absurd": b"\x8e\xad\xe8\x01" + b"\xff" * 512,
    "control_characters": b"\x1b]0;x\x07" * 1_000,
}


def paths_of(analyzer: FileAnalyzer) -> list[str]:
    """Return a path for each of its globs, or any path for one that goes by content."""
    globs = analyzer.interest.globs or ("usr/bin/tool",)
    return [g.replace("**/", "srv/app/").replace("*", "x-1.0") for g in globs]


def run(analyzer: FileAnalyzer, path: str, body: bytes) -> list[object]:
    try:
        return list(analyzer.parse(LayerFile(path, body)))
    except InputError as error:
        return [(type(error).__name__, str(error))]


def leaves() -> list[str]:
    return [
        f"{package.__name__}.{info.name}"
        for package in (config, crypto, packages, secrets)
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_") and not info.ispkg
    ]


each_analyzer = pytest.mark.parametrize("analyzer", FILE_ANALYZERS, ids=lambda a: a.name)


def broken_promises(analyzer: FileAnalyzer, path: str, body: bytes) -> list[str]:
    """Return what is wrong with the outputs for one body."""
    try:
        first, second = run(analyzer, path, body), run(analyzer, path, body)
    except Exception as error:  # noqa: BLE001 - that none escapes is what is tested
        return [f"raised {error!r}"[:300]]
    wrong = [] if first == second else ["other values the second time"]
    for value in first:
        if not isinstance(value, Package | Finding | Kept | OwnedFiles | FileIssue | tuple):
            wrong.append(f"yielded a {type(value).__name__}")
        if isinstance(value, Package) and value.purl_type not in analyzer.purl_types:
            wrong.append(f"undeclared purl type {value.purl_type}")
        if isinstance(value, Package) and not (value.name and value.path):
            wrong.append(f"a package without name or path: {value}")
        try:
            msgspec.json.encode(value)
        except UnicodeEncodeError:
            wrong.append("text that cannot be stored")
    return wrong


@each_analyzer
def test_hostile_bodies(analyzer: FileAnalyzer) -> None:
    """Only ``InputError`` escapes, equal bytes give equal values, and all of them can be stored."""
    wrong = {
        (path, name): found
        for path in paths_of(analyzer)
        for name, body in HOSTILE.items()
        if (found := broken_promises(analyzer, path, body))
    }
    assert wrong == {}


@each_analyzer
def test_interest_can_be_looked_up(analyzer: FileAnalyzer) -> None:
    table = InterestTable([analyzer])
    for path in paths_of(analyzer) if analyzer.interest.globs else ():
        assert table.matches(path)
    assert all(len(magic) == 4 for magic in analyzer.interest.magics)


@pytest.mark.parametrize("analyzer", analyzers(), ids=lambda a: a.name)
def test_record_describes_itself(analyzer: object) -> None:
    assert "/" in analyzer.name
    assert analyzer.name == analyzer.name.lower()
    assert analyzer.version >= 1
    assert analyzer.summary


@pytest.mark.parametrize("module", leaves())
def test_leaf_names_its_source(module: str) -> None:
    assert "Source: https://" in (importlib.import_module(module).__doc__ or "")
