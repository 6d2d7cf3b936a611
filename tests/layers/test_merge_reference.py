"""The merge against really extracting: generated stacks, and umoci where it is installed."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.reference_apply import Root
from support.tree import (
    Entry,
    contents,
    directory,
    file,
    hardlink,
    merged_entries,
    opaque,
    symlink,
    whiteout,
)

NAMES = ("a", "b", "c")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(
    PATHS,
    PATHS.map("/{}".format),
    PATHS.map("../{}".format),
    PATHS.map("./{}/..".format),
    st.sampled_from(["..", "/", "../../..", "."]),
)


def _apart(entry):
    """Neither end of a hard link may lie below the other: no archiver can write that."""
    return not f"{entry.path}/".startswith(
        f"{entry.target}/"
    ) and not f"{entry.target}/".startswith(f"{entry.path}/")


ENTRIES = st.one_of(
    st.builds(Entry, st.just("file"), PATHS),
    st.builds(Entry, st.just("file"), PATHS),
    st.builds(Entry, st.just("dir"), PATHS),
    st.builds(Entry, st.just("symlink"), PATHS, TARGETS),
    st.builds(Entry, st.just("hardlink"), PATHS, PATHS).filter(_apart),
    st.builds(Entry, st.just("whiteout"), PATHS),
    st.builds(Entry, st.just("opaque"), st.one_of(st.just(""), PATHS)),
)
LAYERS = st.lists(
    ENTRIES, max_size=8, unique_by=lambda e: (e.kind in ("whiteout", "opaque"), e.path)
)
STACKS = st.lists(LAYERS, min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STACKS)
def test_equals_extracting(stack):
    with tempfile.TemporaryDirectory() as temp:
        root = Root(Path(temp) / "root", Path(temp) / "held")
        broken = [root.apply(i, entries) for i, entries in enumerate(stack)]
        places: dict[str, set[str]] = {}
        for path, text in root.files().items():
            places.setdefault(text, set()).add(path)
        image = merged_entries(*stack)

        shown = {p.name: p.path for p in image.packages}
        assert set(shown) == {t for t in places if not t.startswith("late:")}
        assert all(path in places[name] for name, path in shown.items())
        assert image.symlinks == root.symlinks()
        assert not image.issues or any(broken)
        for path in ("a", "a/b", "b/c", "c/a/b", "a/a/a"):
            assert image.resolve(path) == root.real(path)


STACK_ROWS = [
    pytest.param(
        [
            [directory("a"), file("a/x"), file("a/y")],
            [directory("a"), whiteout("a/x"), file("a/z")],
        ],
        id="whiteout",
    ),
    pytest.param(
        [
            [directory("a"), directory("a/b"), file("a/b/x"), file("a/y")],
            [directory("a"), opaque("a"), file("a/z")],
        ],
        id="opaque",
    ),
    pytest.param(
        [[directory("a"), file("a/x")], [directory("a"), file("a/z"), opaque("a")]],
        id="opaque_after_entry",
    ),
    pytest.param(
        [
            [directory("usr"), directory("usr/lib"), symlink("lib", "usr/lib"), file("usr/lib/x")],
            [directory("lib/m"), file("lib/m/y"), whiteout("lib/x")],
        ],
        id="through_a_symlink",
    ),
    pytest.param(
        [[file("a"), hardlink("b", "a")], [whiteout("a")], [hardlink("c", "b"), whiteout("d")]],
        id="hardlink_outlives",
    ),
    pytest.param(
        [[directory("a"), file("a/x")], [symlink("a", "b")], [directory("b"), file("b/y")]],
        id="directory_becomes_symlink",
    ),
    pytest.param(
        [
            [directory("b"), file("b/x"), symlink("a", "b")],
            [directory("a"), opaque("a"), file("a/y")],
        ],
        id="symlink_becomes_opaque_directory",
    ),
    pytest.param(
        [[directory("a"), file("a/x")], [file("a")], [directory("a"), file("a/y")]],
        id="directory_file_directory",
    ),
]


def _member(archive, index, entry):
    info = tarfile.TarInfo(entry.path)
    body = b""
    if entry.kind == "whiteout":
        parent, _, name = entry.path.rpartition("/")
        info.name = f"{parent}/.wh.{name}" if parent else f".wh.{name}"
    elif entry.kind == "opaque":
        info.name = f"{entry.path}/.wh..wh..opq"
    elif entry.kind == "dir":
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif entry.kind in ("symlink", "hardlink"):
        info.type = tarfile.SYMTYPE if entry.kind == "symlink" else tarfile.LNKTYPE
        info.linkname = entry.target
    else:
        body = f"{index}:{entry.path}".encode()
        info.size = len(body)
    archive.addfile(info, io.BytesIO(body))


def _layout(where, stack):
    """Write an OCI layout of ``stack`` with the tag ``t``."""
    blobs = where / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layers = []
    for index, entries in enumerate(stack):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for entry in entries:
                _member(archive, index, entry)
        layers.append(put(buffer.getvalue(), "application/vnd.oci.image.layer.v1.tar"))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": layers,
    }
    tagged = put(json.dumps(manifest).encode(), manifest["mediaType"])
    tagged["annotations"] = {"org.opencontainers.image.ref.name": "t"}
    (where / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [tagged]}))
    (where / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
@pytest.mark.parametrize("stack", STACK_ROWS)
def test_equals_umoci(stack, tmp_path):
    _layout(tmp_path / "layout", stack)
    command = [
        "umoci",
        "unpack",
        "--rootless",
        "--image",
        f"{tmp_path}/layout:t",
        f"{tmp_path}/out",
    ]
    subprocess.run(command, check=True, capture_output=True)
    rootfs = tmp_path / "out" / "rootfs"
    places: dict[str, set[str]] = {}
    for path in rootfs.rglob("*"):
        if path.is_file() and not path.is_symlink():
            places.setdefault(path.read_text(), set()).add(str(path.relative_to(rootfs)))
    shown = contents(merged_entries(*stack))
    assert sorted(shown.values()) == sorted(places)
    assert all(path in places[name] for path, name in shown.items())
