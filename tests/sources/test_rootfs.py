"""A directory as an image of one layer: what the tar made on the fly holds, and what is reported."""

from __future__ import annotations

import io
import os
import socket
import struct
import tarfile
import tempfile
from pathlib import Path

import pytest
from support.image_builder import image, write_oci_layout
from support.local_sources import manifest_of, open_descriptors, options, read_all

from scanner.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    NotFoundError,
    UpstreamError,
)
from scanner.model import FileIssue
from scanner.sources._directory_tar import plain_header
from scanner.sources._documents import parse_config
from scanner.sources.rootfs import SOURCE


def open_source(path, tmp_path, **limits):
    return SOURCE.open(str(path), options(tmp_path, **limits))


def read_tree(path, tmp_path, step=65_536, **limits):
    """Return (members by name, content by name, issues) of the directory's layer."""
    before = open_descriptors()
    with open_source(path, tmp_path, **limits) as source:
        layer = read_all(source.open_blob(manifest_of(source).layers[0]), step)
        issues = source.issues
    assert open_descriptors() == before
    assert len(layer) % 512 == 0
    assert layer.endswith(bytes(1024))
    members, contents = {}, {}
    with tarfile.open(fileobj=io.BytesIO(layer), errors="surrogateescape") as archive:
        for member in archive:
            members[member.name] = member
            body = archive.extractfile(member) if member.isreg() else None
            contents[member.name] = body.read() if body else None
        assert len(members) == len(archive.getmembers())
    return members, contents, issues


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "root"
    path.mkdir()
    return path


def skipped(path, reason):
    return FileIssue(path=path, reason=reason, code="skipped")


def test_tree(root, tmp_path):
    (root / "etc").mkdir(mode=0o750)
    (root / "etc/os-release").write_bytes(b"ID=debian\n")
    (root / "etc/empty").write_bytes(b"")
    (root / "app").write_bytes(b"x" * 513)
    (root / "app").chmod(0o4755)
    (root / "lib").symlink_to("usr/lib")
    os.utime(root / "app", (5, 5))
    members, contents, issues = read_tree(root, tmp_path)
    assert contents == {
        "app": b"x" * 513,
        "etc": None,
        "etc/empty": b"",
        "etc/os-release": b"ID=debian\n",
        "lib": None,
    }
    assert list(members) == sorted(contents)
    assert members["etc"].isdir()
    assert (members["lib"].issym(), members["lib"].linkname) == (True, "usr/lib")
    assert [oct(members[n].mode) for n in ("app", "etc")] == ["0o4755", "0o750"]
    assert (members["app"].uid, members["app"].mtime) == (os.getuid(), 5)
    assert issues == []


@pytest.mark.parametrize("step", [1, 511, 512, 10**9])
def test_any_read_size(step, root, tmp_path):
    (root / "a").write_bytes(bytes(range(256)) * 5)
    assert read_tree(root, tmp_path, step)[1] == {"a": bytes(range(256)) * 5}


def test_chunks_are_bounded(root, tmp_path):
    (root / "big").write_bytes(b"b" * (3 * 1024 * 1024 + 1))
    with open_source(root, tmp_path) as source:
        stream = source.open_blob(manifest_of(source).layers[0])
        sizes = []
        while data := stream.read(1 << 30):
            sizes.append(len(data))
        stream.close()
    assert max(sizes) == 1024 * 1024
    assert sum(sizes) == 512 + 3 * 1024 * 1024 + 512 + 1024


def test_empty_directory(root, tmp_path):
    assert read_tree(root, tmp_path) == ({}, {}, [])


def test_hardlinks(root, tmp_path):
    (root / "b").mkdir()
    (root / "b/first").write_bytes(b"once")
    os.link(root / "b/first", root / "second")
    os.link(root / "b/first", root / "a")
    members, contents, _ = read_tree(root, tmp_path)
    links = {n: m.linkname for n, m in members.items() if m.islnk()}
    assert links == {"b/first": "a", "second": "a"}
    assert contents["a"] == b"once"


def test_hardlinked_symlinks_stay_symlinks(root, tmp_path):
    (root / "a").symlink_to("x")
    os.link(root / "a", root / "b", follow_symlinks=False)
    members, _, issues = read_tree(root, tmp_path)
    assert [members[n].linkname for n in "ab"] == ["x", "x"]
    assert issues == []


NAMES = [
    pytest.param(b"caf\xe9", id="latin1"),
    pytest.param("naïve/Ω".encode().replace(b"/", b"_"), id="utf8"),
    pytest.param(b"\xff" * 255, id="long_not_utf8"),
    pytest.param(b"n" * 255, id="long"),
    pytest.param(b"new\nline =x", id="newline"),
    pytest.param(b".wh.gone", id="whiteout"),
    pytest.param(b"back\\slash ", id="backslash"),
]


@pytest.mark.parametrize("name", NAMES)
def test_names(name, root, tmp_path):
    Path(os.fsdecode(bytes(root) + b"/" + name)).write_bytes(b"found")
    (root / "link").symlink_to(os.fsdecode(name))
    members, contents, issues = read_tree(root, tmp_path)
    assert contents.pop("link") is None
    assert os.fsencode(members["link"].linkname) == name
    assert {os.fsencode(n): c for n, c in contents.items()} == {name: b"found"}
    assert issues == []


def test_special_files(root, tmp_path):
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        (root / "zzz").write_bytes(b"after")
        members, contents, issues = read_tree(root, tmp_path)
    assert members["fifo"].isfifo()
    assert contents == {"fifo": None, "zzz": b"after"}
    assert issues == []


def test_symlinks_are_never_followed(root, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "file").symlink_to(tmp_path / "outside/secret")
    (root / "self").symlink_to(".")
    (root / "loop").symlink_to("loop")
    (root / "gone").symlink_to("nowhere")
    members, contents, issues = read_tree(root, tmp_path)
    assert {n: m.issym() for n, m in members.items()} == dict.fromkeys(
        ("file", "gone", "loop", "out", "self"), True
    )
    assert not any(contents.values())
    assert issues == []


def test_root_may_be_a_symlink(root, tmp_path):
    (root / "a").write_bytes(b"a")
    (tmp_path / "alias").symlink_to(root)
    assert read_tree(tmp_path / "alias", tmp_path)[1] == {"a": b"a"}


def test_deep_tree(root, tmp_path):
    here = root
    for _ in range(40):
        here /= "d" * 50
    here.mkdir(parents=True)
    (here / "bottom").write_bytes(b"deep")
    _, contents, issues = read_tree(root, tmp_path)
    assert contents[f"{here.relative_to(root)}/bottom"] == b"deep"
    assert issues == []


def test_too_deep_tree(root, tmp_path):
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 20, dir_fd=descriptor)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    members, _, issues = read_tree(root, tmp_path)
    assert len(members) == 255
    assert [x.reason for x in issues] == ["deeper than limits.path_depth (255)"]
    assert len(read_tree(root, tmp_path, path_depth=3)[0]) == 3


class Meddled:
    """A layer being read, with something done to the tree after its first bytes."""

    def __init__(self, root, tmp_path, meddle, first=512):
        with open_source(root, tmp_path) as source:
            stream = source.open_blob(manifest_of(source).layers[0])
            head = stream.read(first)
            meddle()
            self.layer = head + read_all(stream)
            self.issues = source.issues
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as archive:
            self.names = archive.getnames()
            self.contents = {
                m.name: archive.extractfile(m).read() for m in archive if m.isreg() and m.size
            }


def test_file_shrinks(root, tmp_path):
    (root / "a").write_bytes(b"a" * 2_000_000)
    (root / "b").write_bytes(b"b")
    seen = Meddled(root, tmp_path, lambda: os.truncate(root / "a", 1_000))
    assert seen.contents == {"a": b"a" * 1000 + bytes(1_999_000), "b": b"b"}
    assert seen.issues == [skipped("a", "shorter than when it was opened")]


def test_file_grows(root, tmp_path):
    (root / "a").write_bytes(b"a" * 1000)
    (root / "b").write_bytes(b"b")
    seen = Meddled(root, tmp_path, lambda: (root / "a").write_bytes(b"c" * 5000))
    assert seen.contents == {"a": b"c" * 1000, "b": b"b"}
    assert seen.issues == []


def test_file_and_directory_vanish(root, tmp_path):
    (root / "a").write_bytes(b"a")
    (root / "b").write_bytes(b"b")
    (root / "c").mkdir()
    (root / "d").write_bytes(b"d")

    def meddle():
        (root / "b").unlink()
        (root / "c").rmdir()

    seen = Meddled(root, tmp_path, meddle)
    assert seen.contents == {"a": b"a", "d": b"d"}
    reason = "no such file or directory"
    assert seen.issues == [skipped("b", reason), skipped("c", reason)]


def test_directory_becomes_a_symlink(root, tmp_path):
    """Between being written as a directory and being entered, as an attacker would do it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (root / "d").mkdir()

    def meddle():
        (root / "d").rmdir()
        (root / "d").symlink_to(tmp_path / "outside")

    seen = Meddled(root, tmp_path, meddle)
    assert seen.names == ["d"]
    assert [x.path for x in seen.issues] == ["d"]


@pytest.fixture
def powerless():
    """A directory that others may enter, and no right of root to read what is forbidden."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        os.seteuid(os.getuid())
        (path / "d").chmod(0o700)


def test_unreadable(powerless, tmp_path):
    (powerless / "a").write_bytes(b"a")
    (powerless / "a").chmod(0)
    (powerless / "d").mkdir(mode=0)
    (powerless / "e").write_bytes(b"e")
    if os.getuid() == 0:
        os.seteuid(65_534)
    members, contents, issues = read_tree(powerless, tmp_path)
    assert contents == {"d": None, "e": b"e"}
    assert members["d"].mode == 0
    assert issues == [skipped("a", "permission denied"), skipped("d", "permission denied")]


def test_sparse_file_is_reported(root, tmp_path):
    with (root / "lastlog").open("wb") as file:
        file.truncate(1 << 40)
    (root / "small").write_bytes(b"s")
    _, contents, issues = read_tree(root, tmp_path)
    assert contents == {"small": b"s"}
    assert issues == [skipped("lastlog", "sparse: its holes are larger than limits.file_bytes")]


def test_issue_names_are_printable_and_bounded(root, tmp_path):
    for number in range(5):
        path = Path(os.fsdecode(bytes(root) + b"/\xff%d" % number))
        path.touch()
        os.truncate(path, 1 << 31)
    issues = read_tree(root, tmp_path, outputs_count=3)[2]
    assert [x.path for x in issues] == ["\\xff0", "\\xff1", ""]
    assert issues[2].reason == "more files were skipped than are listed"


def test_issues_start_anew(root, tmp_path):
    with (root / "lastlog").open("wb") as file:
        file.truncate(1 << 40)
    with open_source(root, tmp_path) as source:
        for _ in range(2):
            read_all(source.open_blob(manifest_of(source).layers[0]))
            assert len(source.issues) == 1


def test_capabilities(root, tmp_path):
    value = struct.pack("<IIIII", 0x02000001, 1 << 12, 0, 0xFF, 0)
    (root / "ping").write_bytes(b"ping")
    try:
        os.setxattr(root / "ping", "security.capability", value)
    except OSError as error:
        pytest.skip(f"no right to set capabilities here: {error}")
    members, contents, _ = read_tree(root, tmp_path)
    record = members["ping"].pax_headers["SCHILY.xattr.security.capability"]
    assert record.encode("utf-8", "surrogateescape") == value
    assert contents["ping"] == b"ping"


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize("name", ["a", "n" * 99, "n" * 100, "n" * 101, "\xe4", "a/b c\n"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mode": 0o7777, "uid": 0o7777777, "gid": 1, "mtime": 0o77777777777},
        {"size": 0o77777777777},
        {"size": 8**11},
        {"uid": 8**7},
        {"gid": 8**7},
        {"mtime": -1},
        {"mtime": 8**11},
    ],
    ids=str,
)
def test_plain_header_is_that_of_tarfile(kind, name, fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    wanted, plain = info.tobuf(tarfile.PAX_FORMAT), plain_header(info)
    assert bool(plain) == (len(wanted) == 512 and kind != tarfile.SYMTYPE)
    if plain:
        read = [tarfile.TarInfo.frombuf(b, "utf-8", "strict").get_info() for b in (plain, wanted)]
        assert read[0] == read[1]
        assert len(plain) == 512


def test_large_ids_and_times(root, tmp_path):
    (root / "a").write_bytes(b"a")
    os.utime(root / "a", (-5, -5))
    if os.geteuid() == 0:
        os.chown(root / "a", 3_000_000_000, 3_000_000_000)
    status = (root / "a").stat()
    member = read_tree(root, tmp_path)[0]["a"]
    assert (member.uid, member.gid, member.mtime) == (status.st_uid, status.st_gid, -5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make device nodes")
def test_devices(root, tmp_path):
    try:
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    except OSError as error:
        pytest.skip(f"no right to make device nodes here: {error}")
    member = read_tree(root, tmp_path)[0]["null"]
    assert (member.ischr(), member.devmajor, member.devminor, member.size) == (True, 1, 3, 0)


@pytest.mark.skipif(not os.path.ismount("/dev/pts"), reason="needs a mount point to meet")
def test_other_file_systems_are_skipped(tmp_path):
    with open_source("/dev", tmp_path, path_depth=1) as source:
        layer = read_all(source.open_blob(manifest_of(source).layers[0]))
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        names = archive.getnames()
    assert skipped("pts", "another file system is mounted there") in source.issues
    assert "pts" in names
    assert not [n for n in names if "/" in n]


def test_documents(root, tmp_path):
    with open_source(root, tmp_path) as source:
        manifest = manifest_of(source)
        descriptor, raw = source.root()
        assert source.fetch_manifest(descriptor) == raw
        config = parse_config(source.fetch_config(manifest.config))
        assert manifest.annotations == {"dev.scanner.source": "rootfs"}
        assert (config.diff_ids, config.user, config.env) == ((), "", ())
        assert (source.blobs_by_diff_id, source.cacheable) == (True, False)
        assert source.reference == f"dir:{root}"
        with pytest.raises(NotFoundError):
            source.open_blob(manifest.config)
        with pytest.raises(DigestMismatchError):
            source.fetch_config(descriptor)


def test_closed_half_way(root, tmp_path):
    (root / "d").mkdir()
    (root / "d/a").write_bytes(b"a" * 3_000_000)
    before = open_descriptors()
    with open_source(root, tmp_path) as source:
        stream = source.open_blob(manifest_of(source).layers[0])
        stream.read(700)
        stream.read(700)
        stream.close()
        assert stream.read(1) == b""
    assert open_descriptors() == before


def test_directory_is_gone_when_read(root, tmp_path):
    with open_source(root, tmp_path) as source:
        root.rmdir()
        with pytest.raises(UpstreamError):
            source.open_blob(manifest_of(source).layers[0])


@pytest.mark.parametrize("text", ["/none", "", "a\0b", "/" + "n" * 5000])
def test_no_such_directory(text, tmp_path):
    with pytest.raises(InvalidReferenceError) as caught:
        open_source(text, tmp_path)
    assert caught.value.hint


def test_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidReferenceError, match="not a directory"):
        open_source(tmp_path / "file", tmp_path)


def test_accepts(root, tmp_path, monkeypatch):
    layout = write_oci_layout([image([])], tmp_path / "layout")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert [SOURCE.accepts(text) for text in (str(root), "./root", ".", "../")] == [True] * 4
    refused = ("root", str(layout), "./file", "./none", "", "/a\0b", "/" + "n" * 5000)
    assert [SOURCE.accepts(text) for text in refused] == [False] * 7
