"""OCI layouts as directories and tars, well-formed and hostile."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from support.image_builder import (
    OCI_INDEX,
    REF_NAME,
    Entry,
    descriptor,
    digest,
    gzip_layer,
    image,
    image_index,
    oci_layout_files,
    pack,
    tar_layer,
    to_json,
    write_oci_layout,
    write_tree,
    zstd_layer,
)
from support.local_sources import (
    manifest_of,
    open_descriptors,
    options,
    read_image,
    run,
    tool,
)

from scanner.errors import (
    DigestMismatchError,
    ForbiddenHostError,
    InvalidReferenceError,
    LimitExceededError,
    MalformedLayerError,
    MalformedManifestError,
    NotFoundError,
    ScannerError,
    UnsupportedError,
)
from scanner.sources.oci_layout import SOURCE

LAYERS = [
    gzip_layer(tar_layer([Entry("etc/os-release", b"ID=debian\n")]), members=3),
    zstd_layer(tar_layer([Entry("app/main", b"x" * 5000)]), frames=2),
    tar_layer([Entry("etc/.wh.os-release")]),
]
ONE = image(LAYERS, {"User": "app"})
TWO = image(LAYERS[:1], architecture="arm64")
INDEX = image_index([ONE, TWO])


def wanted(one):
    return one.digest, one.config_bytes, list(one.layers)


PACKINGS = {
    "tar": lambda content: content,
    "gzip": gzip_layer,
    "gzip_members": lambda content: gzip_layer(content, members=5),
    "zstd": zstd_layer,
    "zstd_frames": lambda content: zstd_layer(content, frames=5),
    "zstd_skippable_first": lambda content: (
        b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstd_layer(content)
    ),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image"


def open_source(text, tmp_path, **limits):
    return SOURCE.open(str(text), options(tmp_path, **limits))


def layout_tar(files, path):
    path.write_bytes(pack(files))
    return path


def test_directory(path, tmp_path):
    write_oci_layout([ONE], path)
    before = open_descriptors()
    with open_source(path, tmp_path) as source:
        assert read_image(source) == wanted(ONE)
        assert (source.reference, source.blobs_by_diff_id, source.cacheable) == (
            f"oci:{path}",
            False,
            True,
        )
    assert open_descriptors() == before


@pytest.mark.parametrize("packing", PACKINGS)
def test_archive(packing, path, tmp_path):
    path.write_bytes(PACKINGS[packing](pack(oci_layout_files([ONE]))))
    before = open_descriptors()
    with open_source(path, tmp_path) as source:
        assert not list((tmp_path / "spool").glob("*")), "a kill would leave it behind"
        assert read_image(source) == wanted(ONE)
        assert source.reference == f"oci-archive:{path}"
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
@pytest.mark.parametrize("prefix", ["", "./", "/", ".//x/../"])
def test_tar_formats_and_names(tar_format, prefix, path, tmp_path):
    entries = [Entry(prefix + name, data) for name, data in oci_layout_files([ONE]).items()]
    entries.insert(0, Entry("n" * 90, b"unrelated", pax={"comment": "x"}))
    path.write_bytes(tar_layer(reversed(entries), tar_format))
    with open_source(path, tmp_path) as source:
        assert read_image(source) == wanted(ONE)


def test_duplicate_member_last_wins(path, tmp_path):
    files = oci_layout_files([ONE])
    entries = [Entry("index.json", b"not json"), *(Entry(n, d) for n, d in files.items())]
    path.write_bytes(tar_layer(entries))
    with open_source(path, tmp_path) as source:
        assert read_image(source) == wanted(ONE)


def test_streams_outlive_each_other_and_the_source(path, tmp_path):
    layout_tar(oci_layout_files([ONE]), path)
    with open_source(path, tmp_path) as source:
        layers = manifest_of(source).layers
        first, second = source.open_blob(layers[0]), source.open_blob(layers[1])
        seen = [first.read(10), second.read(10)]
    seen[0] += first.read(10**9)
    seen[1] += second.read(10**9)
    assert seen == LAYERS[:2]
    assert first.read(1) == b""
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("choice", "one"),
    [
        pytest.param(":team/app:1", ONE, id="whole_name"),
        pytest.param(":1", ONE, id="tag_of_name"),
        pytest.param(":v2", TWO, id="bare_tag"),
        pytest.param(f"@{TWO.digest}", TWO, id="digest"),
        pytest.param(f":{ONE.digest}", ONE, id="digest_after_colon"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".tar"], ids=["directory", "tar"])
def test_choice(choice, one, suffix, tmp_path):
    path = write_oci_layout({"team/app:1": ONE, "v2": TWO}, tmp_path / f"a:b{suffix}")
    with open_source(f"{path}{choice}", tmp_path) as source:
        assert read_image(source) == wanted(one)


@pytest.mark.parametrize("choice", [":3", ":team/app", f"@{digest(b'')}", "@sha256:zz", ":../x"])
def test_choice_of_nothing(choice, path, tmp_path):
    write_oci_layout({"team/app:1": ONE, "v2": TWO}, path)
    with pytest.raises(InvalidReferenceError) as caught:
        open_source(f"{path}{choice}", tmp_path)
    assert "team/app:1" in caught.value.hint


def test_choice_of_several(path, tmp_path):
    write_oci_layout({"a:1": ONE, "b:1": TWO}, path)
    with pytest.raises(InvalidReferenceError):
        open_source(f"{path}:1", tmp_path)


def test_several_without_choice_are_the_index(path, tmp_path):
    files = oci_layout_files({"a:1": ONE, "b:1": TWO})
    write_tree(files, path)
    with open_source(path, tmp_path) as source:
        root, raw = source.root()
    assert (root.media_type, root.digest, root.size) == (OCI_INDEX, digest(raw), len(raw))
    assert raw == files["index.json"]


def test_two_names_of_one_image_are_one(path, tmp_path):
    write_oci_layout({"a:1": ONE, "a:latest": ONE}, path)
    with open_source(path, tmp_path) as source:
        assert source.root()[0].digest == ONE.digest


def test_nested_index(path, tmp_path):
    write_oci_layout({"multi": INDEX}, path)
    with open_source(path, tmp_path) as source:
        assert source.root()[1] == INDEX.manifest_bytes
    with open_source(f"{path}@{TWO.digest}", tmp_path) as source:
        assert read_image(source) == wanted(TWO)


def test_accepts(tmp_path):
    directory = write_oci_layout([ONE], tmp_path / "layout")
    archive = write_oci_layout([ONE], tmp_path / "layout.tar")
    docker = layout_tar({**oci_layout_files([ONE]), "manifest.json": b"[]"}, tmp_path / "d.tar")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "broken.tar").write_bytes(archive.read_bytes()[:3000])
    assert [SOURCE.accepts(str(p)) for p in (directory, archive, f"{directory}:1")] == [True] * 3
    others = [docker, *(tmp_path / n for n in ("empty", "text", "broken.tar", "none"))]
    assert [SOURCE.accepts(str(p)) for p in (*others, "debian:12", "", "a\0b")] == [False] * 8


@pytest.mark.parametrize("text", ["none", "none:1", "none@sha256:00", "x\0y", "n" * 5000])
def test_no_such_path(text, tmp_path):
    with pytest.raises(InvalidReferenceError) as caught:
        open_source(text, tmp_path)
    assert caught.value.hint


# Hostile ------------------------------------------------------------------------------------------


def changed(**files):
    """Return a layout's files with some replaced, or taken away by None."""
    changes = {name.replace("__", "-").replace("_", "."): data for name, data in files.items()}
    found = {**oci_layout_files([ONE]), **changes}
    return {name: data for name, data in found.items() if data is not None}


def index_of(*entries):
    return to_json({"schemaVersion": 2, "manifests": list(entries)})


HOSTILE_LAYOUTS = {
    "no_index": (changed(index_json=None), NotFoundError),
    "no_mark": (changed(oci__layout=None), NotFoundError),
    "future": (changed(oci__layout=b'{"imageLayoutVersion":"2.0.0"}'), UnsupportedError),
    "mark_not_json": (changed(oci__layout=b"1.0.0"), MalformedManifestError),
    "index_not_json": (changed(index_json=b"{"), MalformedManifestError),
    "index_list": (changed(index_json=b"[]"), MalformedManifestError),
    "index_deep": (changed(index_json=b"[" * 100_000), MalformedManifestError),
    "index_empty": (changed(index_json=index_of()), MalformedManifestError),
    "index_manifest": (changed(index_json=ONE.manifest_bytes), MalformedManifestError),
    "traversal_digest": (
        changed(index_json=index_of({**ONE.descriptor(), "digest": "sha256:../../../etc/passwd"})),
        MalformedManifestError,
    ),
    "other_algorithm": (
        changed(index_json=index_of({**ONE.descriptor(), "digest": "md5:" + "0" * 32})),
        MalformedManifestError,
    ),
}


@pytest.mark.parametrize("name", HOSTILE_LAYOUTS)
@pytest.mark.parametrize("kind", ["directory", "tar"])
def test_hostile_layout(name, kind, path, tmp_path):
    files, error = HOSTILE_LAYOUTS[name]
    write_tree(files, path) if kind == "directory" else layout_tar(files, path)
    before = open_descriptors()
    with pytest.raises(error):
        open_source(path, tmp_path)
    assert open_descriptors() == before


def blob(content):
    return f"blobs/{digest(content).replace(':', '/')}"


@pytest.mark.parametrize(
    ("files", "error"),
    [
        pytest.param(
            {blob(ONE.manifest_bytes): ONE.manifest_bytes[:-1]}, DigestMismatchError, id="size"
        ),
        pytest.param(
            {blob(ONE.manifest_bytes): ONE.manifest_bytes.replace(b"2", b"3", 1)},
            DigestMismatchError,
            id="digest",
        ),
        pytest.param({blob(ONE.manifest_bytes): None}, NotFoundError, id="missing_manifest"),
        pytest.param({blob(ONE.config_bytes): b""}, DigestMismatchError, id="config_size"),
        pytest.param(
            {blob(ONE.config_bytes): ONE.config_bytes[::-1]}, DigestMismatchError, id="config"
        ),
        pytest.param({blob(ONE.config_bytes): None}, NotFoundError, id="missing_config"),
        pytest.param({blob(LAYERS[1]): None}, NotFoundError, id="missing_layer"),
        pytest.param(
            {"index.json": index_of({**ONE.descriptor(), "size": 10**12})},
            LimitExceededError,
            id="claims_terabyte",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["directory", "tar"])
def test_wrong_blob(files, error, kind, path, tmp_path):
    merged = {n: d for n, d in (oci_layout_files([ONE]) | files).items() if d is not None}
    write_tree(merged, path) if kind == "directory" else layout_tar(merged, path)
    with open_source(path, tmp_path) as source, pytest.raises(error):
        read_image(source)


def test_inline_data(path, tmp_path):
    files = oci_layout_files([ONE])
    import base64

    entry = {**ONE.descriptor(), "data": base64.b64encode(ONE.manifest_bytes).decode()}
    del files[blob(ONE.manifest_bytes)]
    write_tree(files | {"index.json": index_of(entry)}, path)
    with open_source(path, tmp_path) as source:
        assert read_image(source) == wanted(ONE)


def test_symlinked_blob_outside(path, tmp_path):
    write_oci_layout([ONE], path)
    (tmp_path / "elsewhere").write_bytes(LAYERS[0])
    target = path / blob(LAYERS[0])
    target.unlink()
    target.symlink_to(tmp_path / "elsewhere")
    with open_source(path, tmp_path) as source, pytest.raises(ForbiddenHostError):
        read_image(source)


def test_symlinked_blob_inside(path, tmp_path):
    write_oci_layout([ONE], path)
    target = path / blob(LAYERS[0])
    target.rename(path / "moved")
    target.symlink_to("../../moved")
    (tmp_path / "alias").symlink_to(path)
    with open_source(tmp_path / "alias", tmp_path) as source:
        assert read_image(source) == wanted(ONE)


@pytest.mark.parametrize("kind", ["loop", "fifo", "directory", "device"])
def test_strange_blob(kind, path, tmp_path):
    write_oci_layout([ONE], path)
    target = path / blob(LAYERS[0])
    target.unlink()
    if kind == "loop":
        target.symlink_to(target.name)
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "device":
        target.symlink_to("/dev/zero")
    else:
        target.mkdir()
    with open_source(path, tmp_path) as source, pytest.raises(ScannerError):
        read_image(source)


def cut(content, size):
    return content[:size]


GOOD_TAR = pack(oci_layout_files([ONE]))


def header(kind, size=0, name="x"):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(body):
    return header(tarfile.XHDTYPE, len(body)) + body.ljust(-(-len(body) // 512) * 512, b"\0")


HOSTILE_ARCHIVES = {
    "empty": (b"", MalformedLayerError),
    "text": (b"hello\n" * 200, MalformedLayerError),
    "cut_in_header": (cut(GOOD_TAR, 1100), MalformedLayerError),
    "cut_in_body": (cut(GOOD_TAR, 2400), MalformedLayerError),
    "corrupt_header": (
        GOOD_TAR[:1024] + b"\xff" * 512 + GOOD_TAR[1536:],
        MalformedLayerError,
    ),
    "zeros": (bytes(10240), NotFoundError),
    "negative_size": (header(tarfile.REGTYPE, -512), MalformedLayerError),
    "huge_size": (header(tarfile.REGTYPE, 2**62), MalformedLayerError),
    "sparse": (header(tarfile.GNUTYPE_SPARSE, 0), MalformedLayerError),
    "long_name_bomb": (header(tarfile.GNUTYPE_LONGNAME, 2**40), MalformedLayerError),
    "long_names_chained": (
        (header(tarfile.GNUTYPE_LONGNAME, 5) + b"abcd".ljust(512, b"\0")) * 5000,
        NotFoundError,
    ),
    "pax_no_number": (pax(b"hello world\n") + header(b"0"), MalformedLayerError),
    "pax_length_zero": (pax(b"0 path=x\n") + header(b"0"), MalformedLayerError),
    "pax_length_long": (pax(b"999 path=x\n") + header(b"0"), MalformedLayerError),
    "pax_size_text": (pax(b"13 size=-512\n") + header(b"0"), MalformedLayerError),
    "pax_size_digits": (pax(b"309 size=" + b"9" * 299 + b"\n") + header(b"0"), MalformedLayerError),
    "gzip_cut": (cut(gzip_layer(GOOD_TAR), 900), MalformedLayerError),
    "gzip_no_trailer": (gzip_layer(GOOD_TAR)[:-4], MalformedLayerError),
    "gzip_wrong_crc": (gzip_layer(GOOD_TAR)[:-8] + bytes(8), MalformedLayerError),
    "gzip_garbage_after": (gzip_layer(GOOD_TAR) + b"garbage", MalformedLayerError),
    "gzip_magic_only": (b"\x1f\x8b", MalformedLayerError),
    "zstd_cut": (zstd_layer(GOOD_TAR)[:-3], MalformedLayerError),
    "zstd_cut_in_second": (zstd_layer(GOOD_TAR, 2)[:-3], MalformedLayerError),
    "zstd_garbage_after": (zstd_layer(GOOD_TAR) + b"garbage", MalformedLayerError),
    "zstd_magic_only": (b"\x28\xb5\x2f\xfd", MalformedLayerError),
    "gzip_of_gzip": (gzip_layer(gzip_layer(GOOD_TAR)), MalformedLayerError),
}


@pytest.mark.parametrize("name", HOSTILE_ARCHIVES)
def test_hostile_archive(name, path, tmp_path):
    content, error = HOSTILE_ARCHIVES[name]
    path.write_bytes(content)
    before = open_descriptors()
    with pytest.raises(error):
        open_source(path, tmp_path)
    assert open_descriptors() == before
    SOURCE.accepts(str(path))


@pytest.mark.parametrize("step", [1, 37])
def test_every_cut_is_typed(step, path, tmp_path):
    """Wherever a small compressed archive is cut, a typed error says so."""
    small = pack(oci_layout_files([image([tar_layer([])])]))
    for compress in (gzip_layer, zstd_layer):
        whole = compress(small)
        for size in range(step, len(whole), 97 if step == 1 else step):
            path.write_bytes(whole[:size])
            with pytest.raises(MalformedLayerError):
                open_source(path, tmp_path)


LINKS = {
    "link_out": [Entry("index.json", type=tarfile.SYMTYPE, link="../../etc/passwd")],
    "link_absolute": [Entry("index.json", type=tarfile.SYMTYPE, link="/etc/passwd")],
    "link_to_itself": [Entry("index.json", type=tarfile.SYMTYPE, link="index.json")],
    "link_circle": [
        Entry("index.json", type=tarfile.SYMTYPE, link="b"),
        Entry("b", type=tarfile.LNKTYPE, link="index.json"),
    ],
    "hardlink_nowhere": [Entry("index.json", type=tarfile.LNKTYPE, link="gone")],
    "directory": [Entry("index.json", type=tarfile.DIRTYPE)],
    "fifo": [Entry("index.json", type=tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("name", LINKS)
def test_links_in_archive(name, path, tmp_path):
    files = oci_layout_files([ONE])
    path.write_bytes(tar_layer([*(Entry(n, d) for n, d in files.items()), *LINKS[name]]))
    with pytest.raises(NotFoundError):
        open_source(path, tmp_path)


@pytest.mark.parametrize(
    ("limits", "content", "limit"),
    [
        pytest.param({"archive_entries_count": 3}, GOOD_TAR, "archive_entries_count", id="entries"),
        pytest.param({"layer_bytes": 4096}, gzip_layer(GOOD_TAR), "layer_bytes", id="unpacked"),
        pytest.param(
            {"expansion_floor_bytes": 1_000_000, "expansion_ratio": 100},
            zstd_layer(bytes(30_000_000)),
            "expansion_ratio",
            id="ratio_zstd",
        ),
        pytest.param(
            {"expansion_floor_bytes": 1_000_000, "expansion_ratio": 100},
            gzip_layer(bytes(30_000_000)),
            "expansion_ratio",
            id="ratio_gzip",
        ),
        pytest.param(
            {"pax_bytes": 1024}, pax(b"2000 path=".ljust(1999, b"x") + b"\n"), "pax_bytes", id="pax"
        ),
        pytest.param({"manifest_bytes": 40}, GOOD_TAR, "manifest_bytes", id="index"),
    ],
)
def test_limits(limits, content, limit, path, tmp_path):
    path.write_bytes(content)
    before = open_descriptors()
    with pytest.raises(LimitExceededError) as caught:
        open_source(path, tmp_path, **limits)
    assert caught.value.limit == limit
    assert open_descriptors() == before


# Other people's tools ------------------------------------------------------------------------------


def test_skopeo_writes_what_we_read(tmp_path):
    skopeo = tool("skopeo")
    path = write_oci_layout({"team/app:1": ONE}, tmp_path / "ours")
    run(
        skopeo,
        "copy",
        "--preserve-digests",
        f"oci:{path}:team/app:1",
        f"oci-archive:{tmp_path}/theirs.tar:team/app:1",
    )
    with open_source(f"{tmp_path}/theirs.tar:team/app:1", tmp_path) as source:
        assert read_image(source) == wanted(ONE)


def test_umoci_writes_what_we_read(tmp_path):
    umoci = tool("umoci")
    run(umoci, "init", "--layout", f"{tmp_path}/made")
    run(umoci, "new", "--image", f"{tmp_path}/made:first")
    with open_source(f"{tmp_path}/made:first", tmp_path) as source:
        assert read_image(source)[2] == []


def test_builder_is_deterministic():
    again = image(LAYERS, {"User": "app"})
    assert again == ONE
    assert io.BytesIO(pack(oci_layout_files([again]))).getvalue() == GOOD_TAR
    assert REF_NAME in oci_layout_files({"a": ONE})["index.json"].decode()
    assert descriptor("x", b"")["size"] == 0
