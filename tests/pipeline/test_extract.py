"""Layer reports: from the store, from another scan under way, or read; and what becomes of layers that fail."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest
from support.faulty_registry import Reply, Seen
from support.image_builder import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Entry,
    Image,
    descriptor,
    digest,
    image,
    image_index,
    to_json,
    uncompressed,
    write_docker_archive,
    write_oci_layout,
)
from support.scanning import (
    OS_RELEASE,
    dpkg_status,
    layer,
    opened_context,
    python_package,
    scan_here,
)

from scanner.errors import ScanCancelledError, StoreError
from scanner.model import LimitHit, ScanState

LAYERS = [
    layer(OS_RELEASE, dpkg_status("base")),
    layer(*python_package("one")),
    layer(*python_package("two")),
]
IMAGE = image(LAYERS, {"User": "1"})


class Wrapped:
    """The real store, to watch or disturb."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.fixture
def settings(server, cache_directory):
    return {
        "registry_insecure": server.host,
        "registry_retries_count": 0,
        "store_cache_directory": cache_directory,
    }


def names_of(report) -> list[str]:
    return sorted(package.name for one in report.images for package in one.packages)


def errors_of(report) -> list[str]:
    return [one.error for one in report.images[0].layers]


def described(*layers: dict[str, object], held: tuple[bytes, ...], **config: object) -> Image:
    """Return an image whose manifest says of its layers what it is told."""
    rootfs = {"type": "layers", "diff_ids": [digest(uncompressed(one)) for one in held]}
    config_bytes = to_json({"os": "linux", "architecture": "amd64", "rootfs": rootfs, **config})
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config_bytes),
        "layers": list(layers),
    }
    return Image(to_json(manifest), config_bytes, held)


def test_layers_come_in_their_order(context, tmp_path):
    report = scan_here(write_oci_layout([IMAGE], tmp_path / "a"), context)
    (one,) = report.images
    assert [(x.index, x.digest, x.diff_id, x.cached) for x in one.layers] == [
        (i, digest(x), digest(uncompressed(x)), False) for i, x in enumerate(LAYERS)
    ]
    assert (names_of(report), report.state) == (["base", "one", "two"], ScanState.COMPLETE)


def test_known_layers_are_not_read(server, settings, tmp_path):
    server.serve(image(LAYERS[:2], {"User": "1"}), "first")
    server.serve(IMAGE, "second")
    with opened_context(tmp_path / "home", **settings) as (context, _):
        scan_here(f"{server.host}/first:1", context)
        server.seen.clear()
        report = scan_here(f"{server.host}/second:1", context)
    assert [x.cached for x in report.images[0].layers] == [True, True, False]
    assert [len(server.paths(digest(x))) for x in LAYERS] == [0, 0, 1]
    assert names_of(report) == ["base", "one", "two"]


def test_known_image_is_not_read(server, settings, tmp_path):
    server.serve(IMAGE, "app")
    with opened_context(tmp_path / "home", **settings) as (context, _):
        first = scan_here(f"{server.host}/app:1", context)
        server.seen.clear()
        second = scan_here(f"{server.host}/app:1", context)
    assert server.paths() == ["GET /v2/app/manifests/1"]
    assert [x.cached for x in second.images[0].layers] == [True, True, True]
    assert second.images[0].packages == first.images[0].packages


def test_an_answer_is_for_its_day(context, tmp_path, monkeypatch):
    layout = write_oci_layout([IMAGE], tmp_path / "a")
    scan_here(layout, context)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=1)

    monkeypatch.setattr("scanner.pipeline.scan.datetime", Tomorrow)
    report = scan_here(layout, context)
    assert [x.cached for x in report.images[0].layers] == [True, True, True]
    assert "merge" in report.stage_seconds  # the image is made anew, of the layers that are known


def test_saved_image_is_not_taken_for_a_manifest(context, tmp_path):
    """Both can have one digest: a document that is a config in one place, a manifest in the other."""
    digests = []

    class Watched(Wrapped):
        def load_image(self, digest, fingerprint, **when):
            digests.append((digest, fingerprint))
            return self.inner.load_image(digest, fingerprint, **when)

    context = replace(context, store=Watched(context.store))
    scan_here(write_docker_archive(IMAGE, tmp_path / "a.tar"), context)
    scan_here(write_oci_layout([IMAGE], tmp_path / "b"), context)
    assert digests == [
        (IMAGE.image_id, f"{context.fingerprint}-saved"),
        (IMAGE.digest, context.fingerprint),
    ]


def test_two_scans_at_once_read_each_layer_once(server, settings, tmp_path):
    images = [image([*LAYERS, layer(*python_package(f"own{n}"))], {"User": "1"}) for n in range(2)]
    for number, one in enumerate(images):
        server.serve(one, f"app{number}")
    both = threading.Barrier(2, timeout=30)

    def gate(seen: Seen) -> None:
        if "/manifests/" in seen.path:
            both.wait()

    server.gate = gate
    with (
        opened_context(tmp_path / "home", **settings) as (context, _),
        ThreadPoolExecutor(2) as pool,
    ):
        reports = list(pool.map(lambda n: scan_here(f"{server.host}/app{n}:1", context), range(2)))
    assert [len(server.paths(digest(x))) for x in LAYERS] == [1, 1, 1]
    read = [x.digest for report in reports for x in report.images[0].layers if not x.cached]
    assert sorted(read) == sorted({digest(x) for one in images for x in one.layers})
    assert [names_of(r) for r in reports] == [["base", "one", f"own{n}", "two"] for n in range(2)]


def test_one_layer_twice_in_an_image(context, tmp_path):
    same = image([LAYERS[0], LAYERS[1], LAYERS[0]], {"User": "1"})
    report = scan_here(write_oci_layout([same], tmp_path / "a"), context)
    assert sorted(x.cached for x in report.images[0].layers) == [False, False, True]
    assert (names_of(report), report.state) == (["base", "one"], ScanState.COMPLETE)


def test_a_failing_layer_does_not_stop_the_others(server, settings, tmp_path):
    server.serve(IMAGE, "app")
    server.script(f"/v2/app/blobs/{digest(LAYERS[1])}", Reply(404), Reply(404))
    with opened_context(tmp_path / "home", **settings) as (context, _):
        report = scan_here(f"{server.host}/app:1", context)
        again = scan_here(f"{server.host}/app:1", context)
        healed = scan_here(f"{server.host}/app:1", context)
    assert names_of(report) == names_of(again) == ["base", "two"]
    assert [bool(x) for x in errors_of(report)] == [False, True, False]
    assert report.state is ScanState.PARTIAL
    issue = report.images[0].coverage.issues[0]
    assert (issue.code, issue.layer) == ("not-found", digest(LAYERS[1]))
    assert (names_of(healed), healed.state) == (["base", "one", "two"], ScanState.COMPLETE)


OTHER_TYPES = {
    "encrypted": (
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "the layer is encrypted",
    ),
    "foreign": (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "foreign layer: the registry does not hold it, and its urls are not followed",
    ),
    "other": ("application/wasm", "not a filesystem layer: application/wasm"),
}


@pytest.mark.parametrize(("media_type", "reason"), OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_layers_that_cannot_be_scanned(media_type, reason, server, settings, tmp_path):
    away = descriptor(media_type, LAYERS[1], urls=["http://127.0.0.1:9/away"])
    good = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", LAYERS[0])
    odd = described(good, away, held=tuple(LAYERS[:2]))
    server.serve(Image(odd.manifest_bytes, odd.config_bytes, (LAYERS[0],)), "app")
    with opened_context(tmp_path / "home", **settings) as (context, _):
        report = scan_here(f"{server.host}/app:1", context)
    assert (errors_of(report), names_of(report)) == (["", reason], ["base"])
    assert report.state is ScanState.PARTIAL
    assert (
        report.images[0].coverage.layers_count,
        report.images[0].coverage.layers_scanned_count,
    ) == (2, 1)


def test_foreign_layer_that_the_registry_holds_is_scanned(server, settings, tmp_path):
    away = descriptor(OTHER_TYPES["foreign"][0], LAYERS[1], urls=["http://127.0.0.1:9/away"])
    server.serve(described(away, held=(LAYERS[1],)), "app")
    with opened_context(tmp_path / "home", **settings) as (context, _):
        report = scan_here(f"{server.host}/app:1", context)
    assert (names_of(report), report.state) == (["one"], ScanState.COMPLETE)


def test_only_layers_that_cannot_be_scanned(context, tmp_path):
    media_type, reason = OTHER_TYPES["encrypted"]
    odd = described(descriptor(media_type, LAYERS[1]), held=(LAYERS[1],))
    (one,) = scan_here(write_oci_layout([odd], tmp_path / "a"), context).images
    assert (one.state, one.error) == (ScanState.FAILED, f"no layer could be scanned: {reason}")


def lying(real: bytes, said: bytes) -> Image:
    return image([real], {"User": "1"}, rootfs={"type": "layers", "diff_ids": [digest(said)]})


def test_lie_about_a_diff_id(context, tmp_path):
    report = scan_here(write_oci_layout([lying(LAYERS[1], b"x")], tmp_path / "a"), context)
    assert "diff_id: expected" in errors_of(report)[0]
    assert [i.code for i in report.images[0].coverage.issues] == ["digest-mismatch"]
    assert report.state is ScanState.PARTIAL


def test_lie_about_the_diff_id_of_a_known_layer(context, tmp_path):
    scan_here(write_oci_layout([IMAGE], tmp_path / "a"), context)
    report = scan_here(write_oci_layout([lying(LAYERS[1], b"x")], tmp_path / "b"), context)
    assert "diff_id: expected" in errors_of(report)[0]
    assert [i.code for i in report.images[0].coverage.issues] == ["digest-mismatch"]
    again = scan_here(write_oci_layout([image(LAYERS[:2])], tmp_path / "c"), context)
    assert (errors_of(again), names_of(again)) == (["", ""], ["base", "one"])


def test_diff_id_of_another_algorithm(context, tmp_path):
    scan_here(write_oci_layout([IMAGE], tmp_path / "a"), context)
    tar = uncompressed(LAYERS[1])
    for content, errors_count in ((tar, 0), (b"x", 1)):
        diff_id = "sha512:" + hashlib.sha512(content).hexdigest()
        one = image([LAYERS[1]], {"User": "1"}, rootfs={"type": "layers", "diff_ids": [diff_id]})
        report = scan_here(write_oci_layout([one], tmp_path / str(errors_count)), context)
        assert sum(map(bool, errors_of(report))) == errors_count


@pytest.mark.parametrize("count", [0, 1, 3])
def test_layers_and_diff_ids_disagree(count, context, tmp_path):
    diff_ids = [digest(uncompressed(x)) for x in LAYERS[:count]]
    odd = image(LAYERS[:2], rootfs={"type": "layers", "diff_ids": diff_ids})
    (one,) = scan_here(write_oci_layout([odd], tmp_path / "a"), context).images
    message = f"the manifest has 2 layers, the config {count} diff_ids"
    assert (one.state, one.error, one.layers) == (ScanState.FAILED, message, ())
    assert one.coverage.issues[0].code == "malformed-manifest"


def test_out_of_time(context, tmp_path):
    late = msgspec.structs.replace(context.limits, scan_seconds=1e-9)
    report = scan_here(write_oci_layout([IMAGE], tmp_path / "a"), replace(context, limits=late))
    (one,) = report.images
    assert one.state is ScanState.FAILED
    assert {x.error.partition(":")[0] for x in one.layers} == {"limit scan_seconds"}
    assert [(i.code, i.layer) for i in one.coverage.issues] == [
        ("limit-exceeded", digest(x)) for x in LAYERS
    ]
    assert {(x.limit, x.allowed) for x in one.coverage.limits} == {("scan_seconds", 1e-9)}


def test_out_of_time_while_another_scan_reads_the_layer(tmp_path, cache_directory):
    layout = write_oci_layout([IMAGE], tmp_path / "a")
    chosen = {"store_cache_directory": cache_directory, "limits_scan_seconds": 0.3}
    with opened_context(tmp_path / "home", **chosen) as (context, store):
        claim = store.claim_layer(digest(LAYERS[1]), context.fingerprint, wait_seconds=0)
        with claim as claimed:
            assert claimed
            report = scan_here(layout, context)
    assert errors_of(report)[1].startswith("limit scan_seconds")
    assert LimitHit(limit="scan_seconds", allowed=0.3, layer=digest(LAYERS[1])) in (
        report.images[0].coverage.limits
    )
    assert report.state is not ScanState.COMPLETE


def test_stopped_before_it_begins(context, tmp_path):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(ScanCancelledError):
        scan_here(write_oci_layout([IMAGE], tmp_path / "a"), context, cancelled=stopped)


def test_stopped_while_it_reads(server, settings, tmp_path):
    server.serve(IMAGE, "app")
    stopped = threading.Event()

    def gate(seen: Seen) -> None:
        if digest(LAYERS[1]) in seen.path:
            stopped.set()

    server.gate = gate
    with opened_context(tmp_path / "home", **settings) as (context, store):
        with pytest.raises(ScanCancelledError):
            scan_here(f"{server.host}/app:1", context, cancelled=stopped)
        assert store.load_layer(digest(LAYERS[1]), context.fingerprint) is None
        with store.claim_layer(digest(LAYERS[1]), context.fingerprint, wait_seconds=0) as claimed:
            assert claimed


def test_store_that_fails_ends_one_image_only(context, tmp_path):
    """The other images are scanned: nobody asked to stop."""
    arm64 = image(LAYERS[:1], {"User": "1"}, architecture="arm64")

    class Full(Wrapped):
        def save_layer(self, report, fingerprint):
            if report.digest == digest(LAYERS[1]):
                raise StoreError("scanner.db", "disk full")
            self.inner.save_layer(report, fingerprint)

    context = replace(context, store=Full(context.store))
    stopped = threading.Event()
    layout = write_oci_layout([image_index([IMAGE, arm64])], tmp_path / "a")
    report = scan_here(layout, context, cancelled=stopped)
    assert [one.state for one in report.images] == [ScanState.FAILED, ScanState.COMPLETE]
    assert report.images[0].error == "scanner.db: disk full"
    assert not stopped.is_set()


def test_image_without_layers(context, tmp_path):
    report = scan_here(write_oci_layout([image([], {"User": "1"})], tmp_path / "a"), context)
    assert (report.state, report.images[0].packages) == (ScanState.COMPLETE, ())


def test_empty_layer_is_told(context, tmp_path):
    nothing = image([LAYERS[0], layer()], {"User": "1"})
    report = scan_here(write_oci_layout([nothing], tmp_path / "a"), context)
    assert (errors_of(report), names_of(report)) == (["", ""], ["base"])
    hollow = described(
        *(descriptor("application/vnd.oci.image.layer.v1.tar", x) for x in (b"", LAYERS[0])),
        held=(b"", LAYERS[0]),
    )
    report = scan_here(write_oci_layout([hollow], tmp_path / "b"), context)
    assert (errors_of(report), names_of(report)) == (
        ["the layer is empty: not even a tar's end", ""],
        ["base"],
    )


def test_many_layers(context, tmp_path):
    many = [layer(*python_package(f"p{n}"), Entry(f"f{n}", b"x" * n)) for n in range(60)]
    report = scan_here(write_oci_layout([image(many, {"User": "1"})], tmp_path / "a"), context)
    assert names_of(report) == sorted(f"p{n}" for n in range(60))
    assert [x.digest for x in report.images[0].layers] == [digest(x) for x in many]
