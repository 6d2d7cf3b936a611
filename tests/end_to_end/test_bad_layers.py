"""Layers of every bad kind in one image, through the real command: each is told, none harms the others."""

from __future__ import annotations

import gzip
import random
import re
import tarfile

import pytest
import zstandard
from support.hostile_layers import (
    MIB,
    TAR_END,
    OddLayer,
    bzip2_zeros,
    damaged,
    deep_path,
    file,
    good,
    gzip_zeros,
    header,
    nested_directories,
    write_odd_layout,
    zstd_zeros,
)
from support.image_builder import Entry, directory, hardlink, symlink, tar_layer
from support.scanning import (
    OS_RELEASE,
    Outcome,
    dpkg_status,
    files_below,
    names,
    python_package,
    scan_json,
)

from scanner.cli.exit_codes import ExitCode

NOISE = random.Random(1).randbytes(3 * MIB)
TAR = tar_layer([*python_package("never"), Entry("noise", NOISE)])
PLAIN = file("a", b"x" * 2000) + TAR_END


def plain(*parts: bytes) -> OddLayer:
    tar = b"".join(parts)
    return OddLayer(gzip.compress(tar, mtime=0), tar)


def raw(blob: bytes, tar: bytes = TAR, **more: object) -> OddLayer:
    return OddLayer(blob, tar, **more)


GZIP = gzip.compress(TAR, 6, mtime=0)
ZSTD = zstandard.compress(TAR)
CHECKED = zstandard.ZstdCompressor(write_checksum=True).compress(TAR)
NEGATIVE = b"\xff" * 11 + b"\x85"
HUGE = b"\x80" + (2**62).to_bytes(11, "big")
PAX_BOMB = header("././@PaxHeader", 64 * MIB, b"x") + b"%d a=" % (64 * MIB)

BROKEN = {
    "truncated_gzip": (raw(GZIP[: len(GZIP) // 2]), "malformed-layer", "cut off"),
    "corrupted_gzip": (raw(damaged(GZIP)), "malformed-layer", "gzip|cut off"),
    "gzip_with_garbage_after": (raw(GZIP + b"garbage"), "malformed-layer", "garbage"),
    "truncated_zstd": (raw(ZSTD[: len(ZSTD) // 2]), "malformed-layer|digest-mismatch", ""),
    "corrupted_zstd_with_checksum": (raw(damaged(CHECKED)), "malformed-layer", "zstd"),
    "corrupted_zstd": (raw(damaged(ZSTD)), "malformed-layer|digest-mismatch", "zstd|diff_id"),
    "not_a_tar": (plain(b"no tar" * 200), "malformed-layer", "checksum"),
    "empty": (raw(b"", b""), "malformed-layer", "empty"),
    "wrong_digest": (
        raw(GZIP + b"\0" * 9, stored=damaged(GZIP) + b"\0" * 9),
        "digest-mismatch",
        "digest",
    ),
    "size_too_small": (raw(GZIP + b"\0" * 8, said={"size": 1000}), "digest-mismatch", "size"),
    "size_too_large": (raw(GZIP + b"\0" * 7, said={"size": 2**40}), "digest-mismatch", "size"),
    "size_huge": (raw(GZIP + b"\0" * 6, said={"size": 2**63 - 1}), "digest-mismatch", "size"),
    "wrong_diff_id": (raw(GZIP, TAR[:-512]), "digest-mismatch", "diff_id"),
    "header_checksum": (
        plain(file("a", b"x"), header("b", checksum_field=b"000001\0 "), TAR_END),
        "malformed-layer",
        "wrong checksum",
    ),
    "negative_size": (
        plain(header("a", size_field=NEGATIVE), TAR_END),
        "malformed-layer",
        "negative size",
    ),
    "huge_size": (plain(header("a", size_field=HUGE), TAR_END), "malformed-layer", "inside a file"),
    "size_is_no_number": (
        plain(header("a", size_field=b"12x45678901\0"), TAR_END),
        "malformed-layer",
        "not a number",
    ),
    "pax_bomb": (plain(PAX_BOMB, bytes(4 * MIB)), "limit-exceeded", "pax_bytes"),
    "long_name_bomb": (
        plain(header("././@LongLink", 2**40, b"L"), b"d/" * MIB),
        "limit-exceeded",
        "pax_bytes",
    ),
    "million_nested_directories_in_one_path": (
        plain(deep_path(1_000_000)),
        "limit-exceeded",
        "pax_bytes",
    ),
    "zeros_in_gzip": (raw(gzip_zeros()), "limit-exceeded", "expansion_ratio"),
    "zeros_in_bzip2": (raw(bzip2_zeros()), "limit-exceeded", "expansion_ratio"),
    "zeros_in_zstd": (raw(zstd_zeros()), "limit-exceeded", "expansion_ratio"),
}
"""Layer, code and a word of its reason."""

NESTED = nested_directories(100_000)
STRANGE = {
    "directories": OddLayer(NESTED, gzip.decompress(NESTED)),
    "deep_path": plain(deep_path(200_000)),
    "traversal": good(
        Entry(
            "../../../opt/above/../above/x-1.0.dist-info/METADATA", b"Name: above\nVersion: 1.0\n"
        ),
        Entry("/abs/y-1.0.dist-info/METADATA", b"Name: absolute\nVersion: 1.0\n"),
        Entry("..", type=tarfile.DIRTYPE),
        symlink("up", "../../../../../../etc"),
        hardlink("shadow", "../../../../etc/shadow"),
    ),
    "devices": good(
        Entry("dev/mem", type=tarfile.CHRTYPE),
        Entry("dev/sda", type=tarfile.BLKTYPE),
        Entry("run/fifo", type=tarfile.FIFOTYPE),
        Entry("app/package-lock.json", type=tarfile.CHRTYPE),
        *python_package("device"),
    ),
    "hardlinks": good(
        hardlink("app/nowhere", "no/such/file"),
        hardlink("app/itself", "app/itself"),
        hardlink("app/up", "../../../x"),
        *python_package("linked"),
    ),
    "symlinks": good(
        symlink("loop/a", "b"),
        symlink("loop/b", "a"),
        symlink("dir", "dir/dir"),
        *python_package("looped"),
    ),
    "duplicates": good(
        *python_package("double"),
        *python_package("double"),
        Entry("app/x", b"1"),
        directory("app/x"),
        Entry("app/x", b"2"),
    ),
    "names": good(
        Entry(b"caf\xe9/\xff\xfe.txt", b"x"),
        Entry("esc\x1b[31mape/\u202etxt", b"x"),
        Entry("new\nline", b"x"),
        Entry(b"\xff/z-1.0.dist-info/METADATA", b"Name: bytes\nVersion: 1.0\n"),
        *python_package("named"),
    ),
}
"""Layers that are odd, yet can be read to the end."""
FIRST = good(OS_RELEASE, dpkg_status("base"), *python_package("first"))
LAST = good(*python_package("last"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def outcome(home) -> Outcome:
    layers = [FIRST, *(row[0] for row in BROKEN.values()), *STRANGE.values(), LAST]
    return scan_json(home / "home", write_odd_layout(layers, home / "layout"))


def test_the_rest_is_unharmed(outcome, home):
    assert (outcome.code, outcome.complaints) == (ExitCode.INCOMPLETE, "")
    image = outcome.image
    assert image["state"] == "partial"
    assert names(image) == {
        "base", "first", "last", "above", "absolute", "device", "linked", "looped", "double", "named", "bytes",
    } | ({"never"} & names(image))  # fmt: skip
    count = len(BROKEN) + len(STRANGE) + 2
    assert image["coverage"]["layers_count"] == count
    assert image["coverage"]["layers_scanned_count"] == count - len(BROKEN)
    assert not files_below(home / "home/cache/spool")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_layer_is_told(name, outcome):
    _, code, reason = BROKEN[name]
    index = 1 + list(BROKEN).index(name)
    summary = outcome.image["layers"][index]
    issues = [
        i
        for i in outcome.image["coverage"]["issues"]
        if i.get("layer") == summary["digest"] and not i["path"] and i["reason"] == summary["error"]
    ]
    assert re.search(reason, summary["error"])
    assert [bool(re.fullmatch(code, i["code"])) for i in issues] == [True]
    assert not summary.get("cached")


@pytest.mark.parametrize("name", STRANGE)
def test_strange_layer_is_read_to_its_end(name, outcome):
    index = 1 + len(BROKEN) + list(STRANGE).index(name)
    assert "error" not in outcome.image["layers"][index]


def test_what_is_strange_is_told(outcome):
    issues = {(i["path"], i["code"]) for i in outcome.image["coverage"]["issues"]}
    assert ("app/nowhere", "malformed-file") in issues
    assert ("opt/above/x-1.0.dist-info/METADATA", "malformed-layer") in issues
    limits = {limit["limit"] for limit in outcome.image["coverage"]["limits"]}
    assert limits == {"pax_bytes", "expansion_ratio", "path_bytes"}


def test_nothing_broken_is_kept(outcome, home):
    """What could not be read is read again: it may have been the way, not the image."""
    again = scan_json(home / "home", home / "layout")
    cached = [layer.get("cached", False) for layer in again.image["layers"]]
    assert cached == [True] + [False] * len(BROKEN) + [True] * (len(STRANGE) + 1)
    assert again.code == ExitCode.INCOMPLETE
