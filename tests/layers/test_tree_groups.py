"""How a layer's paths are written down, and that chains of nested directories stay small."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile_layers import nested_directories

from scanner.layers._groups import directories_among, groups
from scanner.layers._tree import MergedTree
from scanner.layers.tar_walk import Member, TarWalker
from scanner.layers.tree import TreeBuilder
from scanner.model import LayerTree
from scanner.ports import Limits

FIELDS = (b"",) * 16
NESTED_COUNT = 40_000
DEPTH = 255


def built(*paths: bytes, kind: str = "directory") -> LayerTree:
    builder = TreeBuilder()
    for path in paths:
        builder.add(Member(kind, path, 0, FIELDS))
    return builder.build()


def read(tree: LayerTree) -> list[str]:
    """Return every path with its letter."""
    return [
        f"{name[:1]}:{directory}/{name[1:]}"
        for directory, names in groups(tree)
        for name in names.split("/")
    ]


def expected(*paths: bytes) -> list[str]:
    texts = [path.decode("utf-8", "backslashreplace").rpartition("/") for path in paths]
    return [f"d:{directory}/{name}" for directory, _, name in texts]


def paths_of(alphabet: bytes) -> st.SearchStrategy[bytes]:
    part = st.lists(st.sampled_from(list(alphabet)), min_size=1, max_size=6).map(bytes)
    return st.lists(part, min_size=1, max_size=6).map(b"/".join)


@given(st.lists(paths_of(b"ab\x01\xc3\xa9\xff123"), max_size=30))
def test_what_is_written_is_read(paths):
    assert read(built(*paths)) == expected(*paths)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        pytest.param([b"a", b"b"], b"\0da/db", id="root"),
        pytest.param([b"a/b", b"a/c", b"d/e"], b"a\0db/dc\0d\0de", id="short"),
        pytest.param(
            [b"usr/share/doc/a", b"usr/share/doc/a/b"],
            b"usr/share/doc\0da\0\x0113//a\0db",
            id="shared",
        ),
        pytest.param([b"\x01x/a", b"\x01y/b"], b"\x010/\x01x\0da\0\x011/y\0db", id="mark"),
        pytest.param(
            ["usr/share/é/a".encode(), "usr/share/è/a".encode()],
            b"usr/share/\xc3\xa9\0da\0\x0111/\xa8\0da",
            id="half_a_letter",
        ),
    ],
)
def test_form(paths, names):
    tree = built(*paths)
    assert tree.names == names
    assert read(tree) == expected(*paths)


@pytest.mark.parametrize(
    "names", [b"\x01x\0da", b"\x01\0da", b"\x0199/x\0da", b"\x01-1/x\0da", b"odd", b"\0"]
)
def test_what_no_builder_wrote_is_no_error(names):
    assert all(isinstance(one, str) for one in read(LayerTree(names=names)))


def test_directories_among():
    tree = built(b"a", b"a/b", b"a/b/c")
    assert directories_among(["a/b", "a/b/c/d", "a", "x", ""], tree) == {"a", "a/b"}
    assert directories_among(["a"], built(b"a", kind="file")) == set()


class _Sink:
    """Gathers the tree of a tar and nothing else."""

    def __init__(self) -> None:
        self.tree = TreeBuilder()

    def member(self, member: Member, start: int, magic: bytes) -> bool:
        self.tree.add(member)
        return False

    def body(self, data: bytes, *, last: bool) -> None:
        raise AssertionError(data, last)

    def anomaly(self, path: bytes, reason: str) -> None:
        raise AssertionError(path, reason)


@pytest.fixture(scope="module")
def nested() -> LayerTree:
    sink = _Sink()
    walker = TarWalker(sink, Limits())
    walker.feed(gzip.decompress(nested_directories(NESTED_COUNT, 80)))
    walker.finish()
    return sink.tree.build()


def deep(count: int) -> LayerTree:
    """Return a tree of chains of 255 directories."""
    return built(*(b"n%d" % (n // DEPTH) + b"/d" * (n % DEPTH) for n in range(count)))


def test_nested_directories_take_a_few_bytes_each(nested):
    assert len(nested.names) < 16 * NESTED_COUNT
    assert sum(1 for _ in read(nested)) == NESTED_COUNT
    assert len(deep(NESTED_COUNT).names) < 16 * NESTED_COUNT


def test_merging_nested_directories_is_bounded():
    tree = deep(2 * NESTED_COUNT)
    tracemalloc.start()
    try:
        MergedTree().apply(tree, ())
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 48 * 1024 * 1024
