"""One layer read once: files to their analyzers, hits to their files, faults to issues."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from support.image_builder import Entry, directory, hardlink, symlink, tar_layer

from scanner.errors import MalformedFileError, ScanCancelledError, UpstreamError
from scanner.layers.scan import LayerScanner
from scanner.model import Finding, Kind, LayerReport, Package, Severity
from scanner.ports import (
    EntryAnalyzer,
    FileAnalyzer,
    Interest,
    Limits,
    Pattern,
    PatternAnalyzer,
    SilentProgress,
)


class Stream:
    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int, /) -> bytes:
        return self._content.read(size)

    def close(self) -> None:
        pass


def finding(rule: str, path: str, kind: Kind = Kind.SECRET, **changes: object) -> Finding:
    return Finding(
        rule_id=rule,
        kind=kind,
        severity=Severity.HIGH,
        title="t",
        why="w",
        remedy="r",
        path=path,
        **changes,
    )


def read_list(file):
    """One package per line; a line ``boom`` is a defect, ``bad`` a malformed file."""
    for line in file.data[:].decode().split():
        if line == "boom":
            raise KeyError("the message quotes hunter2")
        if line == "bad":
            raise MalformedFileError(file.path, "bad line")
        yield Package(purl_type="generic", name=line, version="1", path=file.path)


LISTS = FileAnalyzer("lists", 1, Interest(("**/*.list", "var/lib/names")), read_list, 1_000_000)
ELVES = FileAnalyzer(
    "elves",
    1,
    Interest(magics=(b"\x7fELF",)),
    lambda f: [Package(purl_type="elf", name=str(len(f.data)), version="1", path=f.path)],
)
TOKEN = PatternAnalyzer(
    "token",
    1,
    (Pattern("token", "tok_[0-9]{8}", before=64, after=64),),
    lambda h: [
        finding(
            "token",
            h.path,
            line=h.line_at(h.end),
            offset=h.offset + h.end - 12,
            identity=h.window[h.end - 12 : h.end].decode(),
            evidence={"before": str(h.end), "after": str(len(h.window) - h.end)},
        )
    ],
)
SETUID = EntryAnalyzer(
    "setuid",
    1,
    0o6000,
    ("security.capability",),
    lambda e: [finding("setuid", e.path, Kind.PRIVILEGE, evidence={"mode": oct(e.mode)})],
)


def scan(layer: bytes, tmp_path, limits: Limits | None = None, **changes: object) -> LayerReport:
    scanner = LayerScanner(
        (LISTS, ELVES, TOKEN, SETUID),
        limits or Limits(),
        spool_dir=tmp_path,
        cache_dir=None,
        mime=lambda _: "text/plain",
    )
    arguments: dict[str, object] = {
        "digest": "sha256:" + "0" * 64,
        "size": None,
        "diff_id": None,
        "digest_is_diff_id": True,
        "progress": SilentProgress().layer("", 0, ""),
        "check": lambda: None,
    }
    stream = changes.pop("stream", None) or Stream(layer)
    report = scanner.scan(stream, **(arguments | changes))
    assert list(tmp_path.iterdir()) == []
    return report


def names(report: LayerReport) -> list[tuple[str, str]]:
    return [(p.name, p.path) for p in report.packages]


def test_counts_and_tree(tmp_path):
    layer = tar_layer(
        [
            directory("a"),
            Entry("a/one.list", b"x y"),
            Entry("a/two", b"data"),
            symlink("a/link", "two"),
            hardlink("a/hard", "./a/two"),
            Entry("a/.wh.gone"),
            Entry("b/.wh..wh..opq"),
            Entry("b/three"),
        ]
    )
    report = scan(gzip.compress(layer), tmp_path)
    assert names(report) == [("x", "a/one.list"), ("y", "a/one.list")]
    assert (report.entries_count, report.files_count, report.read_count) == (8, 3, 1)
    assert report.tree.names == b"\0da\0a\0fone.list/ftwo/llink/fhard\0b\0fthree"
    assert report.tree.symlinks == (("a/link", "two"),)
    assert report.tree.hardlinks == (("a/hard", "a/two"),)
    assert (report.tree.whiteouts, report.tree.opaques) == (("a/gone",), ("b",))
    assert (report.error, report.issues, report.limits) == ("", (), ())


def test_files_are_wanted_by_their_first_bytes(tmp_path):
    report = scan(tar_layer([Entry("bin/x", b"\x7fELF1234"), Entry("y", b"\x7fEL")]), tmp_path)
    assert names(report) == [("8", "bin/x")]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 70_000, 3_000_000])
def test_a_file_across_windows_comes_whole(tmp_path, size):
    body = b"\x7fELF" + b"q" * size
    report = scan(tar_layer([Entry("x", body)]), tmp_path, Limits(window_bytes=65_536))
    assert names(report) == [(str(len(body)), "x")]


def test_a_large_file_is_spooled_and_leaves_no_file(tmp_path):
    body = b"\x7fELF" + b"q" * 200_000
    report = scan(tar_layer([Entry("x", body)]), tmp_path, Limits(memory_file_bytes=100_000))
    assert names(report) == [(str(len(body)), "x")]


@pytest.mark.parametrize("start", range(65_400, 65_560, 13))
def test_hits_are_found_across_windows_with_place_and_line(tmp_path, start):
    body = b"line\n" * (start // 5) + b"tok_12345678\nrest"
    layer = tar_layer([Entry("first", b"x" * 100), Entry("b/secret.txt", body)])
    report = scan(layer, tmp_path, Limits(window_bytes=65_536))
    (found,) = report.findings
    assert (found.path, found.line, found.offset) == (
        "b/secret.txt",
        start // 5 + 1,
        start // 5 * 5,
    )
    assert found.evidence == {"before": "64", "after": "5"}


def test_line_is_right_deep_in_a_large_text_and_unknown_in_a_binary(tmp_path):
    text = b"a\n" * 500_000 + b"tok_11111111\n" + b"b\n" * 300_000 + b"tok_22222222"
    layer = tar_layer([Entry("text", text), Entry("binary", b"\0\n\n" + text)])
    report = scan(layer, tmp_path, Limits(window_bytes=65_536))
    assert [(f.path, f.line) for f in report.findings] == [
        ("text", 500_001),
        ("text", 800_002),
        ("binary", None),
        ("binary", None),
    ]


def test_context_never_leaves_the_file(tmp_path):
    layer = tar_layer([Entry("a", b"x" * 512), Entry("b", b"tok_12345678"), Entry("c", b"y" * 512)])
    (found,) = scan(layer, tmp_path).findings
    assert (found.path, found.evidence) == ("b", {"before": "12", "after": "0"})


def test_a_match_in_a_name_or_over_two_files_is_none(tmp_path):
    layer = tar_layer([Entry("tok_12345678", b"x" * 508 + b"tok_"), Entry("b", b"12345678")])
    assert scan(layer, tmp_path).findings == ()


def test_the_same_secret_is_told_once_per_file(tmp_path):
    layer = tar_layer(
        [Entry("a", b"tok_12345678 tok_12345678 tok_99999999"), Entry("b", b"tok_12345678")]
    )
    report = scan(layer, tmp_path)
    assert [(f.path, f.identity) for f in report.findings] == [
        ("a", "tok_12345678"),
        ("a", "tok_99999999"),
        ("b", "tok_12345678"),
    ]


def test_a_flood_of_hits_is_a_limit(tmp_path):
    body = b"".join(b"tok_%08d\n" % n for n in range(500))
    report = scan(
        tar_layer([Entry("a", body), Entry("b", body[:13])]), tmp_path, Limits(hits_count=100)
    )
    assert len(report.findings) == 101
    assert [(h.limit, h.path) for h in report.limits] == [("hits_count", "a")]


def test_entries_with_special_bits_or_capabilities(tmp_path):
    layer = tar_layer(
        [
            Entry("bin/su", mode=0o4755),
            Entry("bin/ls", mode=0o755),
            Entry("bin/ping", mode=0o755, pax={"SCHILY.xattr.security.capability": "x"}),
        ]
    )
    report = scan(layer, tmp_path)
    assert [(f.path, f.evidence) for f in report.findings] == [
        ("bin/su", {"mode": "0o4755"}),
        ("bin/ping", {"mode": "0o755"}),
    ]


def test_an_entry_that_comes_again_replaces_the_first_but_not_its_secrets(tmp_path):
    layer = tar_layer(
        [
            Entry("a.list", b"old"),
            Entry("b.list", b"tok_12345678"),
            Entry("a.list", b"new"),
            symlink("b.list", "elsewhere"),
        ]
    )
    report = scan(layer, tmp_path)
    assert names(report) == [("new", "a.list")]
    assert [f.path for f in report.findings] == ["b.list"]


def test_names_that_are_not_utf8_are_shown_escaped(tmp_path):
    report = scan(tar_layer([Entry(b"caf\xe9.list", b"x")]), tmp_path)
    assert names(report) == [("x", "caf\\xe9.list")]


def test_a_bad_file_is_an_issue_and_the_rest_goes_on(tmp_path):
    layer = tar_layer([Entry("a.list", b"x bad"), Entry("b.list", b"boom"), Entry("c.list", b"y")])
    report = scan(layer, tmp_path)
    assert names(report) == [("x", "a.list"), ("y", "c.list")]
    assert [(i.path, i.code, i.reason, i.analyzer) for i in report.issues] == [
        ("a.list", "malformed-file", "bad line", "lists"),
        ("b.list", "analyzer-failed", "analyzer failed: KeyError", "lists"),
    ]
    assert "hunter2" not in str(report)


@pytest.mark.parametrize(
    ("limits", "entries", "hit"),
    [
        pytest.param(
            Limits(file_bytes=10), [Entry("a.list", b"x" * 11)], ("file_bytes", "a.list"), id="file"
        ),
        pytest.param(
            Limits(memory_file_bytes=10, spool_bytes=10),
            [Entry("a.list", b"x" * 11)],
            ("spool_bytes", "a.list"),
            id="spool",
        ),
        pytest.param(
            Limits(path_bytes=50), [Entry("a" * 60 + ".list", b"x")], ("path_bytes", "a" * 60 + ".list"), id="path_bytes"
        ),
        pytest.param(
            Limits(path_depth=3), [Entry("a/b/c/d.list", b"x")], ("path_depth", "a/b/c/d.list"), id="path_depth"
        ),
        pytest.param(
            Limits(outputs_count=2), [Entry("a.list", b"x y z")], ("outputs_count", ""), id="outputs"
        ),
    ],
)  # fmt: skip
def test_limits_cut_one_thing_and_the_rest_goes_on(tmp_path, limits, entries, hit):
    report = scan(tar_layer([*entries, Entry("last", mode=0o4755)]), tmp_path, limits)
    assert [(h.limit, h.path) for h in report.limits] == [hit]
    assert report.error == ""
    assert report.entries_count == 2


def test_deep_nesting_costs_one_limit_hit_not_one_per_entry(tmp_path):
    """A million nested directories: each path is over a limit, told once, and costs no memory."""
    deep = "d/" * 300
    layer = tar_layer([directory(deep + str(n)) for n in range(300)])
    report = scan(layer, tmp_path)
    assert [h.limit for h in report.limits] == ["path_depth"]
    assert report.tree.names == b""


def test_a_layer_cut_off_keeps_what_was_found_and_says_so(tmp_path):
    layer = tar_layer([Entry("a.list", b"x"), Entry("b", b"tok_12345678" + b"y" * 5_000)])
    report = scan(layer[:4_000], tmp_path)
    assert names(report) == [("x", "a.list")]
    assert [f.path for f in report.findings] == ["b"]
    assert (report.error, report.error_code) == ("the tar ends inside a file", "malformed-layer")


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        pytest.param(b"", "malformed-layer", id="empty"),
        pytest.param(b"{}" * 400, "malformed-layer", id="not_a_tar"),
        pytest.param(
            gzip.compress(tar_layer([Entry("a")]))[:-20], "malformed-layer", id="cut_gzip"
        ),
    ],
)
def test_a_layer_that_is_none_is_an_error(tmp_path, layer, code):
    assert scan(layer, tmp_path).error_code == code


def test_wrong_digest_is_an_error_of_the_layer(tmp_path):
    report = scan(tar_layer([Entry("a.list", b"x")]), tmp_path, digest_is_diff_id=False)
    assert report.error_code == "digest-mismatch"
    assert names(report) == [("x", "a.list")]


def test_a_connection_that_is_lost_is_an_error_of_the_layer(tmp_path):
    class Broken(Stream):
        def read(self, size: int, /) -> bytes:
            data = super().read(min(size, 3_000))
            if not data:
                raise UpstreamError("registry.example", "read blob", "connection cut")
            return data

    layer = tar_layer([Entry("a.list", b"x")])
    report = scan(b"", tmp_path, stream=Broken(layer[:2_048]))
    assert report.error_code == "upstream-error"
    assert report.error == "registry.example: read blob: connection cut"


def test_cancelling_ends_the_scan(tmp_path):
    def check() -> None:
        raise ScanCancelledError("stopped")

    with pytest.raises(ScanCancelledError):
        scan(tar_layer([Entry("a")]), tmp_path, check=check)


def test_sparse_files_come_with_their_holes(tmp_path):
    """A GNU sparse file as ``tar -S`` writes it: two extents around a hole of a megabyte."""
    extents = b"".join(b"%011o\0%011o\0" % e for e in [(0, 4), (1_048_576, 2)])
    header = bytearray(tarfile.TarInfo("sparse.list").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"%011o\0" % 6
    header[156:157] = b"S"
    header[386 : 386 + len(extents)] = extents
    header[483:495] = b"%011o\0" % 1_048_578
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    header[0:0] = b""
    layer = bytes(header) + b"\x7fELF!!" + bytes(506) + bytes(1_024)
    report = scan(layer, tmp_path)
    assert ("1048578", "sparse.list") in names(report)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_reach_analyzers_whole(tmp_path, form):
    path = "/".join(["directory"] * 20) + "/" + "n" * 150 + ".list"
    assert names(scan(tar_layer([Entry(path, b"x")], form), tmp_path)) == [("x", path)]


def test_texts_are_scanned_as_files_of_their_own(tmp_path):
    scanner = LayerScanner(
        (TOKEN,), Limits(), spool_dir=tmp_path, cache_dir=None, mime=lambda _: ""
    )
    texts = [
        ("config:Env/A", b"A=tok_123"),
        ("config:Env/B", b"45678"),
        ("config:Env/C", b"C=tok_12345678"),
    ]
    (found,) = scanner.scan_texts(texts)
    assert (found.path, found.line, found.offset) == ("config:Env/C", 1, 2)
