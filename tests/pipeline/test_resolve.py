"""From references to images: kinds of sources, platforms of an index, entries that are none."""

from __future__ import annotations

import pytest
from support.faulty_registry import FaultyRegistry, Reply
from support.image_builder import (
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    ImageIndex,
    descriptor,
    digest,
    image,
    image_index,
    to_json,
    write_docker_archive,
    write_oci_layout,
)
from support.scanning import OS_RELEASE, dpkg_status, layer, opened_context, scan_here

from scanner.errors import (
    InvalidReferenceError,
    LimitExceededError,
    ScannerError,
    UnsupportedError,
)
from scanner.model import FileIssue, ScanState
from scanner.model.reference import parse_platform
from scanner.pipeline.resolve import open_source, platform_matches

BASE = layer(OS_RELEASE, dpkg_status("base"))
AMD64 = image([BASE], {"User": "1"})
ARM64 = image([BASE], {"User": "1"}, architecture="arm64")
ARMV7 = image([BASE], {"User": "1"}, architecture="arm", variant="v7")
ARMV6 = image([BASE], {"User": "1"}, architecture="arm", variant="v6")
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def index_of(*entries: dict[str, object], held: tuple[Image | ImageIndex, ...] = ()) -> ImageIndex:
    """Return an index of any entries; ``held`` is what the registry has besides."""
    content = to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)})
    return ImageIndex(content, held)


def entry(one: Image, variant: str = "", **more: object) -> dict[str, object]:
    found = one.descriptor(**more)
    if variant:
        found["platform"] = {**one.platform, "variant": variant}
    return found


def attestation(of: Image) -> dict[str, object]:
    annotations = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": of.digest,
    }
    unknown = {"os": "unknown", "architecture": "unknown"}
    return descriptor(OCI_MANIFEST, b"{}", annotations=annotations, platform=unknown)


@pytest.fixture
def scanned(server: FaultyRegistry, tmp_path, cache_directory):
    """Return a function that scans what the registry serves."""

    def scan(served: Image | ImageIndex, *platforms: str, **settings: object):
        server.serve(served, "app")
        settings |= {
            "registry_insecure": server.host,
            "registry_retries_count": 0,
            "store_cache_directory": cache_directory,
        }
        with opened_context(tmp_path / "home", **settings) as (context, _):
            wanted = [parse_platform(p) for p in platforms]
            return scan_here(f"{server.host}/app:1", context, wanted)

    return scan


def platforms_of(report) -> list[str]:
    return [str(one.platform) for one in report.images]


@pytest.mark.parametrize(
    ("reference", "want"),
    [
        ("{}/layout", "oci:{}/layout"),
        ("oci:{}/layout", "oci:{}/layout"),
        ("{}/layout.tar", "{}/layout.tar"),
        ("oci-archive:{}/layout.tar", "{}/layout.tar"),
        ("{}/saved.tar", "{}/saved.tar"),
        ("docker-archive:{}/saved.tar", "{}/saved.tar"),
        ("{}/root", "{}/root"),
        ("dir:{}/root", "{}/root"),
        ("dir:{}/layout", "{}/layout"),
    ],
)
def test_source_by_scheme_or_by_look(reference, want, context, tmp_path):
    write_oci_layout([AMD64], tmp_path / "layout")
    write_oci_layout([AMD64], tmp_path / "layout.tar")
    write_docker_archive(AMD64, tmp_path / "saved.tar")
    (tmp_path / "root/etc").mkdir(parents=True)
    with open_source(reference.format(tmp_path), context) as source:
        assert want.format(tmp_path) in source.reference


@pytest.mark.parametrize(
    "reference",
    ["", "UPPER/case", "a b", "docker://", "docker://x@sha256:1", "https://a/b", "x" * 300],
)
def test_no_reference(reference, context):
    with pytest.raises(InvalidReferenceError):
        open_source(reference, context)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("/no/such/path", "no such file or directory"),
        ("./no-such-path", "no such file or directory"),
        ("../no/such/path:1", "no such file or directory"),
        ("/", ""),
        (".", ""),
        ("{}/text", "not an OCI layout, a docker archive or a directory"),
        ("{}/text:1", "not an OCI layout, a docker archive or a directory"),
        ("{}/text/below", "no such file or directory"),
    ],
)
def test_a_path_is_never_taken_for_an_image_in_a_registry(reference, reason, context, tmp_path):
    (tmp_path / "text").write_text("text")
    reference = reference.format(tmp_path)
    if not reason:
        open_source(reference, context).close()
        return
    with pytest.raises(InvalidReferenceError) as raised:
        open_source(reference, context)
    assert (raised.value.text, raised.value.reason) == (reference, reason)


@pytest.mark.parametrize("reference", ["oci:{}", "oci-archive:{}", "docker-archive:{}", "dir:{}"])
def test_forced_kind_of_something_else(reference, context, tmp_path):
    path = tmp_path / "nothing"
    with pytest.raises(ScannerError):
        open_source(reference.format(path), context)


@pytest.mark.parametrize(
    ("wanted", "want"),
    [
        ((), ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6"]),
        (("linux/amd64",), ["linux/amd64"]),
        (("linux/x86_64",), ["linux/amd64"]),
        (("linux/arm64/v8",), ["linux/arm64"]),
        (("linux/arm",), ["linux/arm/v7"]),
        (("linux/arm/v6",), ["linux/arm/v6"]),
        (("linux/arm/v6", "linux/amd64"), ["linux/amd64", "linux/arm/v6"]),
    ],
)
def test_platforms(wanted, want, scanned):
    served = index_of(
        AMD64.descriptor(),
        ARM64.descriptor(),
        entry(ARMV7, "v7"),
        entry(ARMV6, "v6"),
        held=(AMD64, ARM64, ARMV7, ARMV6),
    )
    report = scanned(served, *wanted)
    assert (platforms_of(report), report.state, report.skipped) == (want, ScanState.COMPLETE, ())
    assert report.digest == served.digest


def test_platform_that_is_not_there(scanned):
    with pytest.raises(UnsupportedError, match=r"linux/s390x; it has linux/amd64, linux/arm64"):
        scanned(image_index([AMD64, ARM64]), "linux/s390x")


def test_platform_of_a_single_image(scanned):
    assert platforms_of(scanned(AMD64, "linux/amd64")) == ["linux/amd64"]
    with pytest.raises(UnsupportedError, match="for linux/amd64, not for linux/arm64"):
        scanned(AMD64, "linux/arm64")


def unnamed(one: Image) -> dict[str, object]:
    """Return an index entry that does not say which platform it is for."""
    return {key: value for key, value in one.descriptor().items() if key != "platform"}


@pytest.mark.parametrize(
    ("wanted", "want", "other"),
    [
        ((), ["linux/amd64", "linux/arm64"], []),
        (("linux/amd64",), ["linux/amd64"], [ARM64]),
        (("linux/arm64",), ["linux/arm64"], []),
    ],
)
def test_platform_of_an_entry_that_names_none(wanted, want, other, scanned):
    served = index_of(AMD64.descriptor(), unnamed(ARM64), held=(AMD64, ARM64))
    report = scanned(served, *wanted)
    assert (platforms_of(report), report.state) == (want, ScanState.COMPLETE)
    reason = "image: it is for linux/arm64, not for linux/amd64"
    assert report.skipped == tuple(
        FileIssue(path=one.digest, reason=reason, code="skipped") for one in other
    )


def test_no_entry_is_for_the_platform(scanned):
    with pytest.raises(UnsupportedError, match="for linux/arm64, not for linux/s390x"):
        scanned(index_of(unnamed(ARM64), held=(ARM64,)), "linux/s390x")


def test_shared_layer_is_read_once(scanned, server):
    report = scanned(image_index([AMD64, ARM64]))
    assert len(server.paths(digest(BASE))) == 1
    assert [one.layers[0].cached for one in report.images] == [False, True]


def test_nested_index(scanned):
    report = scanned(image_index([image_index([AMD64, image_index([ARM64])]), ARMV7]))
    assert [one.digest for one in report.images] == [AMD64.digest, ARM64.digest, ARMV7.digest]


def test_index_too_deep(scanned):
    served = AMD64
    for _ in range(5):
        served = image_index([served])
    with pytest.raises(LimitExceededError, match="index_depth: 5"):
        scanned(served)


def test_index_too_long(scanned):
    nested = [
        image_index([image([BASE], {"User": str(n)}) for n in range(k, k + 3)]) for k in (0, 3)
    ]
    with pytest.raises(LimitExceededError, match="index_entries_count"):
        scanned(image_index(nested), limits_index_entries_count=6)


def test_one_digest_twice_is_one_image(scanned):
    served = index_of(AMD64.descriptor(), AMD64.descriptor(), held=(AMD64,))
    assert [one.digest for one in scanned(served).images] == [AMD64.digest]


def test_one_digest_for_two_platforms(scanned):
    served = index_of(entry(ARMV7, "v6"), entry(ARMV7, "v7"), held=(ARMV7,))
    assert [one.digest for one in scanned(served, "linux/arm/v7").images] == [ARMV7.digest]
    assert [one.digest for one in scanned(served).images] == [ARMV7.digest]


def test_attestation_is_skipped_and_told(scanned, server):
    report = scanned(index_of(AMD64.descriptor(), attestation(AMD64), held=(AMD64,)))
    reason = "BuildKit attestation, not an image"
    assert report.skipped == (FileIssue(path=digest(b"{}"), reason=reason, code="skipped"),)
    assert (platforms_of(report), report.state) == (["linux/amd64"], ScanState.COMPLETE)
    assert not server.paths(digest(b"{}"))


def test_false_attestation_is_scanned(scanned):
    served = index_of({**attestation(AMD64), **AMD64.descriptor()}, held=(AMD64,))
    assert platforms_of(scanned(served)) == ["linux/amd64"]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        pytest.param(descriptor(SCHEMA1, b"{}"), "unsupported", id="schema1"),
        pytest.param(descriptor(OCI_MANIFEST, b"gone"), "not-found", id="missing_image"),
        pytest.param(descriptor(OCI_INDEX, b"gone"), "not-found", id="missing_index"),
    ],
)
def test_entry_that_cannot_be_scanned_makes_it_partial(other, code, scanned):
    report = scanned(index_of(AMD64.descriptor(), other, held=(AMD64,)))
    assert [(one.path, one.code) for one in report.skipped] == [(other["digest"], code)]
    assert (platforms_of(report), report.state) == (["linux/amd64"], ScanState.PARTIAL)


def artifact() -> Image:
    config = b"{}"
    content = to_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example",
            "config": descriptor("application/vnd.oci.empty.v1+json", config),
            "layers": [descriptor("application/vnd.example.text", b"hello")],
        }
    )
    return Image(content, config, ())


def test_artifact_beside_images(scanned):
    report = scanned(
        index_of(AMD64.descriptor(), artifact().descriptor(), held=(AMD64, artifact()))
    )
    assert [(one.path, one.code) for one in report.skipped] == [(artifact().digest, "unsupported")]
    assert platforms_of(report) == ["linux/amd64"]


@pytest.mark.parametrize(
    "served",
    [
        pytest.param(artifact(), id="artifact"),
        pytest.param(index_of(), id="empty_index"),
        pytest.param(index_of(attestation(AMD64)), id="only_an_attestation"),
        pytest.param(index_of(descriptor(OCI_MANIFEST, b"gone")), id="only_missing"),
    ],
)
def test_nothing_to_scan(served, scanned):
    with pytest.raises(UnsupportedError):
        scanned(served)


def test_an_image_that_fails_does_not_stop_the_others(scanned, server):
    broken = image([BASE], {"User": "2"}, architecture="arm64")
    server.script(f"/v2/app/blobs/{broken.image_id}", Reply(200, b"{" * len(broken.config_bytes)))
    report = scanned(image_index([broken, AMD64]))
    assert [one.state for one in report.images] == [ScanState.FAILED, ScanState.COMPLETE]
    assert report.state is ScanState.FAILED
    assert report.images[0].coverage.issues[0].code == "digest-mismatch"
    assert [p.name for p in report.images[1].packages] == ["base"]


@pytest.mark.parametrize(
    ("has", "wanted", "matches"),
    [
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/amd64/v3", False),
    ],
)
def test_platform_matches(has, wanted, matches):
    assert platform_matches(parse_platform(has), parse_platform(wanted)) is matches
