"""The walker gives what tarfile gives, on generated archives, whatever the size of the windows."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import LimitExceededError, MalformedLayerError
from scanner.layers.tar_walk import Member, TarWalker, normalise, parse_number, parse_pax
from scanner.ports import Limits

KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "character",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CONTTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
}


class Recorder:
    """A sink that wants every file."""

    def __init__(self) -> None:
        self.members: list[tuple[Member, int, bytes]] = []
        self.bodies: dict[int, bytes] = {}
        self.anomalies: list[str] = []

    def member(self, member: Member, start: int, magic: bytes) -> bool:
        self.members.append((member, start, magic))
        return member.kind == "file"

    def body(self, data: bytes, *, last: bool) -> None:
        index = len(self.members) - 1
        self.bodies[index] = self.bodies.get(index, b"") + data
        if last:
            assert len(self.bodies[index]) == self.members[index][0].size

    def anomaly(self, path: bytes, reason: str) -> None:
        self.anomalies.append(reason)


def walk(archive: bytes, window: int, limits: Limits | None = None) -> Recorder:
    sink = Recorder()
    walker = TarWalker(sink, limits or Limits())
    for at in range(0, len(archive), window):
        walker.feed(archive[at : at + window])
    walker.finish()
    return sink


def summary(sink: Recorder) -> list[tuple[object, ...]]:
    return [
        (m.kind, m.path, m.link, m.mode, m.uid, m.gid, sink.bodies.get(i, b""))
        for i, (m, _, _) in enumerate(sink.members)
    ]


def reference(archive: bytes) -> list[tuple[object, ...]]:
    rows = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:", errors="surrogateescape") as tar:
        for info in tar:
            name = info.name.encode("utf-8", "surrogateescape")
            link = info.linkname.encode("utf-8", "surrogateescape")
            reader = tar.extractfile(info) if info.isreg() else None
            body = reader.read() if reader else b""
            kind = KINDS[info.type]
            rows.append(
                (
                    kind,
                    normalise(name)[0],
                    link if kind in ("symlink", "hardlink") else b"",
                    info.mode & 0o7777,
                    info.uid,
                    info.gid,
                    body,
                )
            )
    return rows


segment = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)),
    min_size=1,
    max_size=60,
).filter(lambda s: s not in (".", "..") and s.strip() == s)
path = st.lists(segment, min_size=1, max_size=6).map("/".join)
entry = st.fixed_dictionaries(
    {
        "name": path,
        "type": st.sampled_from(
            [
                tarfile.REGTYPE,
                tarfile.DIRTYPE,
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.CHRTYPE,
                tarfile.FIFOTYPE,
            ]
        ),
        "mode": st.integers(0, 0o7777),
        "uid": st.integers(0, 2**31),
        "gid": st.integers(0, 2**21),
        "link": path,
        "data": st.binary(max_size=3_000),
    }
)


def build(entries: list[dict[str, object]], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for e in entries:
            info = tarfile.TarInfo(e["name"])
            info.type, info.mode, info.uid, info.gid = e["type"], e["mode"], e["uid"], e["gid"]
            if e["type"] in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = e["link"]
            data = e["data"] if e["type"] == tarfile.REGTYPE else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(entry, max_size=12),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 9_000),
)
def test_equals_tarfile(entries, form, window):
    archive = build(entries, form)
    assert summary(walk(archive, window)) == reference(archive)


def test_equals_tarfile_on_ustar_prefixes():
    entries = [
        {
            "name": "/".join(["directory-of-some-length"] * n) + "/file",
            "type": tarfile.REGTYPE,
            "mode": 0o644,
            "uid": 1,
            "gid": 2,
            "link": "",
            "data": b"x" * n,
        }
        for n in range(1, 9)
    ]
    archive = build(entries, tarfile.USTAR_FORMAT)
    assert summary(walk(archive, 512)) == reference(archive)


def one(name: str = "a", data: bytes = b"hello", **fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        for key, value in fields.items():
            setattr(info, key, value)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def patched(archive: bytes, at: int, value: bytes, *, fix: bool = True) -> bytes:
    header = bytearray(archive)
    header[at : at + len(value)] = value
    if fix:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def test_magic_and_start_are_those_of_the_body():
    sink = walk(one(data=b"\x7fELFrest"), 700)
    assert [(start, magic) for _, start, magic in sink.members] == [(512, b"\x7fELF")]


def test_signed_checksum_of_old_tars_is_accepted():
    archive = bytearray(one("caf\u00e9" + "\u00fc" * 20))
    # A PAX header comes first; look at the last header, which is the file's own.
    at = 1024
    archive[at + 148 : at + 156] = b" " * 8
    signed = sum(b - 256 if b > 127 else b for b in archive[at : at + 512])
    archive[at + 148 : at + 156] = b"%06o\0 " % signed
    assert [m.kind for m, _, _ in walk(bytes(archive), 4_096).members] == ["file"]


def test_old_directory_without_type():
    archive = patched(one("dir/", b""), 156, b"\0")
    assert [(m.kind, m.path) for m, _, _ in walk(archive, 512).members] == [("directory", b"dir")]


def test_header_only_types_have_no_body_whatever_size_says():
    first = patched(one("link", b"", type=tarfile.SYMTYPE, linkname="x"), 124, b"00000001000\0")
    archive = first[:512] + one("after", b"body")
    assert [m.path for m, _, _ in walk(archive, 600).members] == [b"link", b"after"]


def test_global_pax_headers_change_nothing():
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "elsewhere"}
    ) as tar:
        tar.addfile(tarfile.TarInfo("here"))
    assert [m.path for m, _, _ in walk(out.getvalue(), 512).members] == [b"here"]


def test_xattrs_are_read():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("ping")
        info.pax_headers = {"SCHILY.xattr.security.capability": "value"}
        tar.addfile(info)
    sink = walk(out.getvalue(), 512)
    assert sink.members[0][0].xattrs == {"security.capability": b"value"}


@pytest.mark.parametrize(
    ("field", "special"),
    [
        (b"0000755\0", False),
        (b"0004755\0", True),
        (b"0100644\0", False),
        (b"4700\0\0\0\0", True),
        (b"4700\0000\0", True),
        (b"   4755\0", True),
    ],
)
def test_special_bits_are_never_missed(field, special):
    sink = walk(patched(one(), 100, field), 512)
    member = sink.members[0][0]
    assert bool(member.mode & 0o7000) == special
    assert member.special_bits or not special


@pytest.mark.parametrize(
    ("written", "path", "escaped"),
    [
        (b"./a/b", b"a/b", False),
        (b"/etc/passwd", b"etc/passwd", False),
        (b"a//b/./c/", b"a/b/c", False),
        (b"a/../b", b"b", False),
        (b"../../etc/shadow", b"etc/shadow", True),
        (b"a/../../b", b"b", True),
        (b"..", b"", True),
        (b"a/.hidden/..x", b"a/.hidden/..x", False),
        (b"./", b"", False),
    ],
)
def test_normalise(written, path, escaped):
    assert normalise(written) == (path, escaped)


def test_path_traversal_is_told():
    sink = walk(one("../../etc/passwd"), 512)
    assert [m.path for m, _, _ in sink.members] == [b"etc/passwd"]
    assert sink.anomalies == ["path leaves the root by ..; read as inside it"]


def test_data_after_the_end_is_told():
    sink = walk(one() + one("hidden"), 512)
    assert [m.path for m, _, _ in sink.members] == [b"a"]
    assert sink.anomalies == ["data after the end of the archive; tools disagree about it"]


def test_one_zero_block_inside_is_told_and_passed():
    sink = walk(one()[:1024] + bytes(512) + one("b"), 512)
    assert [m.path for m, _, _ in sink.members] == [b"a", b"b"]
    assert sink.anomalies == ["a single zero block inside the archive"]


@pytest.mark.parametrize("pad", [0, 512, 10_240, 100_000])
def test_missing_or_long_end_is_fine(pad):
    assert len(walk(one()[:1024] + bytes(pad), 999).members) == 1


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        pytest.param(patched(one(), 0, b"b", fix=False), "wrong checksum", id="wrong_checksum"),
        pytest.param(patched(one(), 124, b"-0000000001\0"), "not a number", id="minus"),
        pytest.param(patched(one(), 124, b"\xff" * 12), "negative size", id="negative_base_256"),
        pytest.param(patched(one(), 124, b"zzzzzzzzzzz\0"), "not a number", id="size_is_text"),
        pytest.param(patched(one(), 124, b"\x80" + b"\x7f" * 11), "inside a file", id="huge_size"),
        pytest.param(one(data=b"x" * 2_000)[:1_500], "inside a file", id="cut_in_body"),
        pytest.param(one()[:1024] + one("b")[:300], "inside a header", id="cut_in_header"),
        pytest.param(b"<html>" + bytes(1_000), "wrong checksum", id="not_a_tar"),
    ],
)
@pytest.mark.parametrize("window", [100, 512, 1 << 20])
def test_rejects(archive, message, window):
    with pytest.raises(MalformedLayerError, match=message):
        walk(archive, window)


def pax_archive(body: bytes, size: int | None = None) -> bytes:
    header = bytearray(one("x", body)[:512])
    header[156:157] = b"x"
    if size is not None:
        header[124:136] = b"%011o\0" % size
    header = bytearray(patched(bytes(header), 0, b"p"))
    padded = body + bytes(-len(body) % 512)
    return bytes(header) + padded + one()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"9999 path=x\n", id="length_too_long"),
        pytest.param(b"0 path=x\n", id="length_zero"),
        pytest.param(b"-5 path=x\n", id="length_negative"),
        pytest.param(b"path=x\n", id="no_length"),
        pytest.param(b"9 pathxx\n", id="no_equals"),
        pytest.param(b"11 path=x\0\n", id="nul_in_path"),
        pytest.param(b"11 size=-1\n", id="negative_size"),
        pytest.param(b"13 size=1e10\n", id="size_is_text"),
        pytest.param(b"35 size=9999999999999999999999999\n", id="size_too_long"),
    ],
)
def test_rejects_pax(body):
    with pytest.raises(MalformedLayerError):
        walk(pax_archive(body), 512)


def test_pax_bomb_is_a_limit():
    with pytest.raises(LimitExceededError) as caught:
        walk(pax_archive(b"", size=2**33 - 1), 512)
    assert caught.value.limit == "pax_bytes"


def test_entries_are_a_limit():
    archive = b"".join(one(f"f{n}", b"")[:512] for n in range(20))
    with pytest.raises(LimitExceededError) as caught:
        walk(archive, 512, Limits(entries_count=10))
    assert (caught.value.limit, caught.value.seen) == ("entries_count", 11)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"  644 \0\0", 0o644),
        (b"\0" * 8, 0),
        (b"\x80" + (5_000_000_000).to_bytes(11, "big"), 5_000_000_000),
        (b"\xff" * 12, -1),
    ],
)
def test_parse_number(field, value):
    assert parse_number(field) == value


def test_parse_pax_takes_the_last_of_a_key_and_binary_values():
    assert parse_pax(b"7 a=bc\n7 a=de\n8 k=\n=\xff\n\0\0") == {b"a": b"de", b"k": b"\n=\xff"}


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=3_000), st.integers(1, 2_000))
def test_any_bytes_give_a_typed_error_or_nothing(body, window):
    try:
        walk(body, window)
    except (MalformedLayerError, LimitExceededError):
        pass


@settings(max_examples=200, deadline=None)
@given(st.lists(entry, min_size=1, max_size=4), st.data())
def test_a_flipped_byte_gives_a_typed_error_or_an_answer(entries, data):
    archive = bytearray(build(entries, tarfile.PAX_FORMAT))
    at = data.draw(st.integers(0, len(archive) - 1))
    archive[at] ^= data.draw(st.integers(1, 255))
    try:
        walk(bytes(archive), 4_096)
    except (MalformedLayerError, LimitExceededError):
        pass
