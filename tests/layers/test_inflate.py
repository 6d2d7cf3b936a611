"""Windows of a layer: every compression, many members, digests to the end, bombs and broken streams."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import DigestMismatchError, LimitExceededError, MalformedLayerError
from scanner.layers.inflate import Blob, Inflater, compression_of
from scanner.ports import Limits, SilentProgress

CONTENT = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(40_000))  # 1.28 MB


class Stream:
    """A blob that comes in short reads."""

    def __init__(self, content: bytes, most: int = 70_000) -> None:
        self._content = io.BytesIO(content)
        self._most = most

    def read(self, size: int, /) -> bytes:
        return self._content.read(min(size, self._most))

    def close(self) -> None:
        pass


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def inflater(content: bytes, most: int = 70_000, **changes: object) -> Inflater:
    arguments: dict[str, object] = {
        "digest": sha256(content), "size": len(content), "diff_id": None, "limits": Limits(),
    } | changes  # fmt: skip
    return Inflater(
        Blob(Stream(content, most), arguments["digest"], arguments["size"]),
        diff_id=arguments["diff_id"],
        limits=arguments["limits"],
        progress=SilentProgress().layer("", 0, ""),
        check=lambda: None,
    )


def members(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def skippable(body: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + len(body).to_bytes(4, "little") + body


def spoilt(stream: bytes) -> bytes:
    return stream[:20] + b"\xff" * 20 + stream[40:]


STREAMS = {
    "plain": (CONTENT, "none"),
    "gzip": (gzip.compress(CONTENT), "gzip"),
    "gzip_members": (b"".join(map(gzip.compress, members(CONTENT, 5_000))), "gzip"),
    "gzip_with_name": (
        b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0" + gzip.compress(CONTENT)[10:],
        "gzip",
    ),
    "gzip_empty_last_member": (gzip.compress(CONTENT) + gzip.compress(b""), "gzip"),
    "gzip_padded": (gzip.compress(CONTENT) + bytes(700), "gzip"),
    "zstd": (zstandard.compress(CONTENT), "zstd"),
    "zstd_frames": (b"".join(map(zstandard.compress, members(CONTENT, 50_000))), "zstd"),
    "zstd_chunked": (
        b"".join(map(zstandard.compress, members(CONTENT, 100_000))) + skippable(b"toc" * 99),
        "zstd",
    ),
    "zstd_skippable_first": (skippable(b"x" * 20) + zstandard.compress(CONTENT), "zstd"),
    "bzip2": (bz2.compress(CONTENT), "bzip2"),
    "bzip2_members": (bz2.compress(CONTENT[:9]) + bz2.compress(CONTENT[9:]), "bzip2"),
    "xz": (lzma.compress(CONTENT), "xz"),
}


@pytest.mark.parametrize("most", [1_000, 1 << 20])
@pytest.mark.parametrize(("stream", "name"), STREAMS.values(), ids=STREAMS)
def test_gives_the_whole_content(stream, name, most):
    one = inflater(stream, most, diff_id=sha256(CONTENT))
    assert b"".join(one) == CONTENT
    assert (one.compression, one.out_bytes, one.diff_id) == (name, len(CONTENT), sha256(CONTENT))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.integers(1, 50))
def test_members_and_reads_may_lie_anywhere(parts, most):
    stream = b"".join(map(gzip.compress, parts))
    assert b"".join(inflater(stream, most)) == b"".join(parts)


def test_windows_are_bounded():
    bomb = gzip.compress(bytes(50_000_000))
    sizes = {len(w) for w in inflater(bomb)}
    assert max(sizes) <= 1024 * 1024


def test_small_members_are_joined_to_few_windows():
    stream = b"".join(map(gzip.compress, members(CONTENT, 1_000)))
    assert len(list(inflater(stream))) <= 6


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        pytest.param(gzip.compress(CONTENT)[:-2_000], "cut off", id="gzip_cut"),
        pytest.param(gzip.compress(CONTENT)[:-4], "cut off", id="gzip_trailer_cut"),
        pytest.param(
            gzip.compress(CONTENT)[:900] + b"\0" * 90 + gzip.compress(CONTENT)[990:],
            "gzip",
            id="gzip_corrupt",
        ),
        pytest.param(gzip.compress(CONTENT)[:-8] + b"\0" * 8, "gzip", id="gzip_wrong_checksum"),
        pytest.param(gzip.compress(CONTENT) + b"garbage", "garbage", id="gzip_garbage"),
        pytest.param(
            spoilt(zstandard.compress(b"some text " * 90_000 + CONTENT[:90_000])),
            "zstd",
            id="zstd_corrupt",
        ),
        pytest.param(bz2.compress(CONTENT)[:-9], "cut off", id="bzip2_cut"),
        pytest.param(lzma.compress(CONTENT)[:-90], "cut off", id="xz_cut"),
    ],
)
def test_rejects_broken_streams(stream, error):
    with pytest.raises(MalformedLayerError, match=error):
        list(inflater(stream))


def test_a_cut_zstd_stream_is_told_by_its_diff_id():
    with pytest.raises(DigestMismatchError, match="diff_id"):
        list(inflater(zstandard.compress(CONTENT)[:-2_000], diff_id=sha256(CONTENT)))


def test_bytes_spoilt_on_the_way_are_told_by_their_digest_not_as_corrupt():
    good = gzip.compress(CONTENT)
    bad = good[:900] + b"\0" * 90 + good[990:]
    with pytest.raises(DigestMismatchError, match="layer digest"):
        list(inflater(bad, digest=sha256(good)))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"digest": sha256(b"other")}, "layer digest"),
        ({"size": 3}, "layer size"),
        ({"size": 10**9}, "layer size"),
        ({"diff_id": sha256(b"other")}, "layer diff_id"),
    ],
)
@pytest.mark.parametrize("stream", [CONTENT, gzip.compress(CONTENT)], ids=["plain", "gzip"])
def test_verifies(stream, changes, what):
    with pytest.raises(DigestMismatchError) as caught:
        list(inflater(stream, **changes))
    assert caught.value.what == what


def test_digest_covers_what_follows_the_last_member():
    stream = gzip.compress(CONTENT)
    with pytest.raises(DigestMismatchError):
        list(inflater(stream + bytes(10), digest=sha256(stream), size=None))


def test_sha512_is_verified_too():
    stream = gzip.compress(CONTENT)
    digest = "sha512:" + hashlib.sha512(stream).hexdigest()
    assert b"".join(inflater(stream, digest=digest)) == CONTENT


def test_an_endless_body_ends_at_its_size():
    class Endless:
        read_bytes = 0

        def read(self, size: int, /) -> bytes:
            self.read_bytes += size
            assert self.read_bytes < 10_000_000
            return b"\0" * size

        def close(self) -> None:
            pass

    blob = Blob(Endless(), None, 1_000_000)
    with pytest.raises(DigestMismatchError, match="layer size"):
        list(
            Inflater(
                blob,
                diff_id=None,
                limits=Limits(),
                progress=SilentProgress().layer("", 0, ""),
                check=lambda: None,
            )
        )


class Zeros:
    """Many zero bytes, for a compressor's reader."""

    def __init__(self, count: int) -> None:
        self._left = count

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return bytes(size)


def zstd_bomb(count: int) -> bytes:
    out = io.BytesIO()
    zstandard.ZstdCompressor(level=1).copy_stream(Zeros(count), out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_zeros_without_end_are_stopped_by_their_ratio(kind):
    """Ten gigabytes would take seconds to make; the limit is judged long before their end."""
    count = 400_000_000
    bomb = zstd_bomb(count) if kind == "zstd" else gzip.compress(bytes(count), 9)
    one = inflater(bomb)
    with pytest.raises(LimitExceededError) as caught:
        for _ in one:
            pass
    assert caught.value.limit == "expansion_ratio"
    assert one.out_bytes <= Limits().expansion_floor_bytes + 2 * 1024 * 1024


def test_layer_bytes_is_a_limit():
    with pytest.raises(LimitExceededError) as caught:
        list(inflater(gzip.compress(CONTENT), limits=Limits(layer_bytes=100_000)))
    assert caught.value.limit == "layer_bytes"


def test_a_huge_zstd_window_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = stream.compress(CONTENT) + stream.flush()
    with pytest.raises(MalformedLayerError, match="zstd"):
        list(inflater(body))


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "none"),
        (b"\x1f", "none"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x5f\x2a\x4d\x18", "zstd"),
        (b"\x60\x2a\x4d\x18", "none"),
        (b"BZh9", "bzip2"),
    ],
)
def test_compression_is_told_by_magic(head, name):
    assert compression_of(head) == name
