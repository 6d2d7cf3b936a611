"""Docker archives, classic and hybrid, well-formed and hostile."""

from __future__ import annotations

import pytest
from support.image_builder import (
    OCI_INDEX,
    Entry,
    digest,
    docker_archive_files,
    gzip_layer,
    hardlink,
    image,
    image_index,
    oci_layout_files,
    pack,
    symlink,
    tar_layer,
    to_json,
    uncompressed,
    write_docker_archive,
    write_oci_layout,
    zstd_layer,
)
from support.local_sources import (
    manifest_of,
    open_descriptors,
    options,
    read_all,
    read_image,
    run,
    tool,
)

from scanner.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    LimitExceededError,
    MalformedLayerError,
    MalformedManifestError,
    NotFoundError,
)
from scanner.sources.docker_archive import SOURCE

TARS = [tar_layer([Entry("etc/os-release", b"ID=debian\n")]), tar_layer([Entry("app", b"2" * 999)])]
ONE = image([gzip_layer(TARS[0]), TARS[1]], {"User": "app"})
TWO = image(TARS[:1], architecture="arm64")
CLASSIC = (ONE.image_id, ONE.config_bytes, TARS)
HYBRID = (ONE.digest, ONE.config_bytes, list(ONE.layers))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "saved.tar"


def open_source(text, tmp_path, **limits):
    return SOURCE.open(str(text), options(tmp_path, **limits))


def saved(*entries, **files):
    """Return an archive of both images' classic files and a ``manifest.json`` of ``entries``."""
    content = {**docker_archive_files(ONE), **docker_archive_files(TWO), **files}
    return pack({**content, "manifest.json": to_json(list(entries))})


def entry(one=ONE, **changes):
    return {
        "Config": f"{one.image_id[7:]}.json",
        "RepoTags": ["team/app:1"],
        "Layers": [f"{d[7:]}/layer.tar" for d in one.diff_ids],
        **changes,
    }


@pytest.mark.parametrize("pack_archive", [bytes, gzip_layer, zstd_layer])
def test_classic(pack_archive, path, tmp_path):
    path.write_bytes(pack_archive(pack(docker_archive_files(ONE))))
    before = open_descriptors()
    with open_source(path, tmp_path) as source:
        assert read_image(source) == CLASSIC
        assert (source.reference, source.blobs_by_diff_id, source.cacheable) == (
            f"docker-archive:{path}",
            True,
            True,
        )
        layers = manifest_of(source).layers
        assert [(x.digest, x.size) for x in layers] == [(digest(x), len(x)) for x in TARS]
        assert source.fetch_manifest(source.root()[0]) == source.root()[1]
    assert open_descriptors() == before


@pytest.mark.parametrize("pack_archive", [bytes, gzip_layer, zstd_layer])
def test_hybrid_is_read_as_layout(pack_archive, path, tmp_path):
    path.write_bytes(pack_archive(pack(docker_archive_files(ONE, hybrid=True))))
    with open_source(path, tmp_path) as source:
        assert read_image(source) == HYBRID
        assert not source.blobs_by_diff_id


@pytest.mark.parametrize("choice", ["1", "team/app:1", "docker.io/team/app:1", ONE.digest])
def test_hybrid_choice(choice, path, tmp_path):
    write_docker_archive(ONE, path, hybrid=True, tags=["team/app:1", "team/app:2"])
    with open_source(f"{path}:{choice}", tmp_path) as source:
        assert read_image(source) == HYBRID


def test_hybrid_by_image_id(path, tmp_path):
    write_docker_archive(ONE, path, hybrid=True)
    with open_source(f"{path}@{ONE.image_id}", tmp_path) as source:
        assert read_image(source)[:2] == CLASSIC[:2]


def test_hybrid_of_several_platforms(path, tmp_path):
    """Containerd writes the whole index, ``manifest.json`` for one platform, and that one's blobs."""
    index = image_index([ONE, TWO])
    files = docker_archive_files(ONE, hybrid=True) | oci_layout_files([index])
    del files[f"blobs/{TWO.digest.replace(':', '/')}"]
    path.write_bytes(pack(files))
    with open_source(path, tmp_path) as source:
        assert source.root()[0].digest == index.digest


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param("index.json", id="index"),
        pytest.param(f"blobs/{ONE.digest.replace(':', '/')}", id="manifest"),
    ],
)
def test_broken_layout_leaves_the_classic_part(gone, path, tmp_path):
    files = docker_archive_files(ONE, hybrid=True)
    del files[gone]
    path.write_bytes(pack(files))
    with open_source(path, tmp_path) as source:
        assert read_image(source) == (ONE.image_id, ONE.config_bytes, list(ONE.layers))


def test_two_faces_are_refused(path, tmp_path):
    files = docker_archive_files(ONE, hybrid=True) | oci_layout_files([TWO])
    path.write_bytes(pack(files))
    with pytest.raises(MalformedManifestError, match="different images"):
        open_source(path, tmp_path)


def test_layout_without_manifest_json(path, tmp_path):
    path.write_bytes(gzip_layer(pack(oci_layout_files([ONE]))))
    assert SOURCE.accepts(str(path))
    with open_source(path, tmp_path) as source:
        assert read_image(source) == HYBRID


def test_gzip_layer_in_classic_is_given_as_stored(path, tmp_path):
    name = f"{digest(TARS[0])[7:]}/layer.tar"
    path.write_bytes(pack(docker_archive_files(ONE) | {name: gzip_layer(TARS[0])}))
    with open_source(path, tmp_path) as source:
        assert [uncompressed(layer) for layer in read_image(source)[2]] == TARS


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(symlink("b/layer.tar", "../a/layer.tar"), id="symlink"),
        pytest.param(symlink("b/layer.tar", "/a/layer.tar"), id="absolute"),
        pytest.param(hardlink("b/layer.tar", "a/layer.tar"), id="hardlink"),
        pytest.param(hardlink("b/layer.tar", "./a/layer.tar"), id="hardlink_with_dot"),
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["link_last", "link_first"])
def test_linked_duplicate_layers(link, order, path, tmp_path):
    twice = image([TARS[0], TARS[0]])
    names = ["a/layer.tar", "b/layer.tar"]
    manifest = to_json([{"Config": "config.json", "RepoTags": None, "Layers": names}])
    entries = [
        Entry("manifest.json", manifest),
        Entry("config.json", twice.config_bytes),
        Entry("a/layer.tar", TARS[0]),
        link,
    ]
    path.write_bytes(tar_layer(entries[::order]))
    with open_source(path, tmp_path) as source:
        assert read_image(source) == (twice.image_id, twice.config_bytes, [TARS[0], TARS[0]])


BOTH = (entry(), entry(TWO, RepoTags=["team/app:2", "other:1"]))


@pytest.mark.parametrize(
    ("choice", "one"),
    [
        pytest.param(":2", TWO, id="tag"),
        pytest.param(":team/app:1", ONE, id="name"),
        pytest.param(":docker.io/library/other:1", None, id="not_the_short_name"),
        pytest.param(f"@{TWO.image_id}", TWO, id="image_id"),
        pytest.param("", None, id="none_chosen"),
        pytest.param(":1", None, id="ambiguous"),
        pytest.param(":3", None, id="unknown_tag"),
        pytest.param(f"@{digest(b'')}", None, id="unknown_id"),
    ],
)
def test_choice(choice, one, path, tmp_path):
    path.write_bytes(saved(*BOTH))
    if one is not None:
        with open_source(f"{path}{choice}", tmp_path) as source:
            assert source.root()[0].digest == one.image_id
        return
    with pytest.raises(InvalidReferenceError) as caught:
        open_source(f"{path}{choice}", tmp_path)
    assert "other:1, team/app:1, team/app:2" in caught.value.hint


def test_accepts(tmp_path):
    tar = write_docker_archive(ONE, tmp_path / "a")
    (tmp_path / "zipped").write_bytes(gzip_layer(tar.read_bytes()))
    (tmp_path / "broken.tar").write_bytes(b"")
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "zeros").write_bytes(bytes(1024))
    accepted = [SOURCE.accepts(f"{tmp_path}/{n}") for n in ("a", "a:x", "zipped", "broken.tar")]
    refused = [SOURCE.accepts(f"{tmp_path}/{n}") for n in ("text", "zeros", "none", "", "a\0")]
    assert (accepted, refused) == ([True] * 4, [False] * 5)


@pytest.mark.parametrize("text", ["none", "none:1", "x\0y", "n" * 5000])
def test_no_such_path(text, tmp_path):
    with pytest.raises(InvalidReferenceError) as caught:
        open_source(text, tmp_path)
    assert caught.value.hint


# Hostile ------------------------------------------------------------------------------------------

HOSTILE = {
    "no_documents": (pack({"x": b""}), NotFoundError),
    "directory": (None, NotFoundError),
    "manifest_empty": (pack({"manifest.json": b""}), MalformedManifestError),
    "manifest_text": (pack({"manifest.json": b"hello"}), MalformedManifestError),
    "manifest_object": (pack({"manifest.json": b"{}"}), MalformedManifestError),
    "manifest_null": (pack({"manifest.json": b"null"}), MalformedManifestError),
    "manifest_no_image": (pack({"manifest.json": b"[]"}), MalformedManifestError),
    "manifest_breaks_out": (pack({"manifest.json": b'[{}],"x":[]'}), MalformedManifestError),
    "manifest_two_values": (pack({"manifest.json": b'[]}{"a":[]'}), MalformedManifestError),
    "manifest_numbers": (pack({"manifest.json": b"[1,2]"}), MalformedManifestError),
    "manifest_deep": (pack({"manifest.json": b"[" * 100_000}), MalformedManifestError),
    "manifest_latin": (pack({"manifest.json": b"\xff\xfe"}), MalformedManifestError),
    "config_number": (saved(entry(Config=7)), MalformedManifestError),
    "config_missing": (saved(entry(Config=None)), NotFoundError),
    "config_traversal": (saved(entry(Config="../../etc/passwd")), NotFoundError),
    "config_absolute": (saved(entry(Config="/etc/passwd")), NotFoundError),
    "config_not_json": (saved(entry(Config="c"), c=b"{"), MalformedManifestError),
    "config_is_layer": (
        saved(entry(Config=f"{ONE.diff_ids[0][7:]}/layer.tar")),
        MalformedManifestError,
    ),
    "config_wrong_digest": (
        saved(entry(), **{entry()["Config"]: ONE.config_bytes + b" "}),
        DigestMismatchError,
    ),
    "layers_text": (saved(entry(Layers="abc")), MalformedManifestError),
    "layers_numbers": (saved(entry(Layers=[1, 2])), MalformedManifestError),
    "layers_few": (saved(entry(Layers=entry()["Layers"][:1])), MalformedManifestError),
    "layers_many": (saved(entry(Layers=entry()["Layers"] * 2)), MalformedManifestError),
    "layers_none": (saved(entry(Layers=None)), MalformedManifestError),
    "tags_text": (saved(entry(RepoTags="team/app:1")), MalformedManifestError),
    "tags_nested": (saved(entry(RepoTags=[[]])), MalformedManifestError),
    "cut": (saved(entry())[:5000], MalformedLayerError),
    "gzip_cut": (gzip_layer(saved(entry()))[:-20], MalformedLayerError),
    "zstd_cut": (zstd_layer(saved(entry()))[:-20], MalformedLayerError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name, path, tmp_path):
    content, error = HOSTILE[name]
    path.mkdir() if content is None else path.write_bytes(content)
    before = open_descriptors()
    with pytest.raises(error):
        open_source(path, tmp_path)
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "gone/layer.tar", "", ".", "a\0b", "loop"]
)
def test_missing_layer_leaves_the_others(name, path, tmp_path):
    layers = [name, entry()["Layers"][1]]
    files = {**docker_archive_files(ONE), "manifest.json": to_json([entry(Layers=layers)])}
    path.write_bytes(tar_layer([*(Entry(n, d) for n, d in files.items()), symlink("loop", "loop")]))
    with open_source(path, tmp_path) as source:
        first, second = manifest_of(source).layers
        with pytest.raises(NotFoundError):
            source.open_blob(first)
        assert read_all(source.open_blob(second)) == TARS[1]


def test_strange_descriptors(path, tmp_path):
    write_docker_archive(ONE, path)
    with open_source(path, tmp_path) as source:
        config = manifest_of(source).config
        with pytest.raises(NotFoundError):
            source.open_blob(config)
        with pytest.raises(NotFoundError):
            source.fetch_manifest(config.__class__(media_type="", digest=digest(b""), size=0))
        with pytest.raises(DigestMismatchError):
            source.fetch_config(manifest_of(source).layers[0])


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        pytest.param({"config_bytes": 50}, "config_bytes", id="config"),
        pytest.param({"manifest_bytes": 50}, "manifest_bytes", id="manifest"),
        pytest.param({"layers_count": 1}, "layers_count", id="layers"),
        pytest.param({"archive_entries_count": 2}, "archive_entries_count", id="entries"),
    ],
)
def test_limits(limits, limit, path, tmp_path):
    write_docker_archive(ONE, path)
    with pytest.raises(LimitExceededError) as caught:
        open_source(path, tmp_path, **limits)
    assert caught.value.limit == limit


def test_several_hybrid_images_are_an_index(path, tmp_path):
    files = docker_archive_files(ONE, hybrid=True) | docker_archive_files(TWO, hybrid=True)
    files |= oci_layout_files({"one": ONE, "two": TWO})
    names = [f"blobs/{one.image_id.replace(':', '/')}" for one in (ONE, TWO)]
    files["manifest.json"] = to_json([{"Config": name, "Layers": []} for name in names])
    path.write_bytes(pack(files))
    with open_source(path, tmp_path) as source:
        assert source.root()[0].media_type == OCI_INDEX


# Other people's tools ------------------------------------------------------------------------------


def test_skopeo_there_and_back(tmp_path):
    skopeo = tool("skopeo")
    ours = write_oci_layout({"v1": ONE}, tmp_path / "ours")
    run(skopeo, "copy", f"oci:{ours}:v1", f"docker-archive:{tmp_path}/theirs.tar:team/app:1")
    with open_source(f"{tmp_path}/theirs.tar:team/app:1", tmp_path) as source:
        _, config, layers = read_image(source)
        assert [x.digest for x in manifest_of(source).layers] == [digest(x) for x in layers]
        assert layers == TARS
        assert source.root()[0].digest == digest(config)


@pytest.mark.parametrize("hybrid", [False, True], ids=["classic", "hybrid"])
def test_skopeo_reads_what_we_build(hybrid, tmp_path):
    """So that the archives of these tests are what other tools take for docker archives."""
    skopeo = tool("skopeo")
    write_docker_archive(ONE, tmp_path / "ours.tar", hybrid=hybrid)
    run(skopeo, "copy", f"docker-archive:{tmp_path}/ours.tar", f"dir:{tmp_path}/theirs")
    found = {digest(uncompressed(p.read_bytes())) for p in (tmp_path / "theirs").iterdir()}
    assert {digest(x) for x in TARS} <= found
