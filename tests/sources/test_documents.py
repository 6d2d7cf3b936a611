from __future__ import annotations

import base64
import json

import pytest

from scanner.errors import (
    DigestMismatchError,
    InputError,
    LimitExceededError,
    MalformedManifestError,
    UnsupportedError,
)
from scanner.model import (
    Descriptor,
    FileIssue,
    HistoryEntry,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    digest_of,
)
from scanner.model.oci import Healthcheck
from scanner.ports import Limits
from scanner.sources._documents import (
    LayerKind,
    layer_kind,
    parse_config,
    parse_index,
    parse_manifest,
    parse_root,
    runnable,
    verify_content,
    why_not_scanned,
)

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
INDEX, MANIFEST = f"{OCI}index.v1+json", f"{OCI}manifest.v1+json"
DOCKER_LIST = f"{DOCKER}distribution.manifest.list.v2+json"
DOCKER_MANIFEST = f"{DOCKER}distribution.manifest.v2+json"
CONFIG = f"{OCI}config.v1+json"
LAYER = f"{OCI}layer.v1.tar+gzip"
ONE, TWO = digest_of(b"one"), digest_of(b"two")
LIMITS = Limits()


def raw(value) -> bytes:
    return json.dumps(value).encode()


def descriptor(media_type=LAYER, digest=ONE, size=3, **more) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def manifest(**more) -> dict[str, object]:
    return {"schemaVersion": 2, "config": descriptor(CONFIG, TWO), "layers": [descriptor()], **more}


def index(*entries, **more) -> dict[str, object]:
    return {"schemaVersion": 2, "manifests": list(entries), **more}


PARSED_MANIFEST = Manifest(
    media_type=MANIFEST,
    config=Descriptor(media_type=CONFIG, digest=TWO, size=3),
    layers=(Descriptor(media_type=LAYER, digest=ONE, size=3),),
)
NULLS = dict.fromkeys(["mediaType", "annotations", "artifactType", "subject", "manifests"])
DESCRIPTOR_NULLS = dict.fromkeys(["urls", "annotations", "platform", "data", "artifactType"])


@pytest.mark.parametrize(
    ("document", "content_type", "media_type"),
    [
        pytest.param(manifest(), MANIFEST, MANIFEST, id="type_from_header"),
        pytest.param(manifest(mediaType=MANIFEST), MANIFEST, MANIFEST, id="both_agree"),
        pytest.param(manifest(), MANIFEST + "; charset=utf-8", MANIFEST, id="parameters"),
        pytest.param(manifest(), MANIFEST.upper(), MANIFEST, id="header_case"),
        pytest.param(manifest(mediaType=DOCKER_MANIFEST), "", DOCKER_MANIFEST, id="type_from_body"),
        pytest.param(manifest(), "", MANIFEST, id="inferred"),
        pytest.param(manifest(), "application/json", MANIFEST, id="generic_header"),
        pytest.param(manifest(**NULLS), MANIFEST, MANIFEST, id="nulls"),
        pytest.param(
            manifest(layers=[descriptor(**DESCRIPTOR_NULLS)]), MANIFEST, MANIFEST, id="layer_nulls"
        ),
        pytest.param(
            {
                "SchemaVersion": 2,
                "Config": descriptor(CONFIG, TWO),
                "LAYERS": [{"MediaType": LAYER, "Digest": ONE, "\u017fize": 3}],
            },
            MANIFEST,
            MANIFEST,
            id="keys_folded_as_go_does",
        ),
    ],
)
def test_parse_manifest(document, content_type, media_type):
    want = Manifest(
        media_type=media_type, config=PARSED_MANIFEST.config, layers=PARSED_MANIFEST.layers
    )
    assert parse_root(raw(document), content_type, LIMITS) == want
    assert parse_manifest(raw(document), content_type, LIMITS) == want


def test_parse_manifest_in_full():
    layer = descriptor(
        urls=["https://elsewhere.example/l"],
        annotations={"a": "b", "n": None},
        data=base64.b64encode(b"one").decode(),
    )
    document = manifest(layers=[layer], annotations={"k": "v\ud800"}, artifactType="x/y")
    want = Manifest(
        media_type=MANIFEST,
        config=PARSED_MANIFEST.config,
        layers=(
            Descriptor(
                media_type=LAYER,
                digest=ONE,
                size=3,
                urls=("https://elsewhere.example/l",),
                annotations={"a": "b", "n": ""},
                data=b"one",
            ),
        ),
        annotations={"k": "v\ufffd"},
        artifact_type="x/y",
    )
    assert parse_manifest(raw(document), MANIFEST, LIMITS) == want


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_LIST])
def test_parse_index(media_type):
    entry = descriptor(
        MANIFEST,
        platform={"os": "linux", "architecture": "aarch64", "variant": "v8", "os.version": None},
    )
    document = index(entry, mediaType=media_type, annotations=None)
    want = Index(
        media_type=media_type,
        manifests=(
            Descriptor(
                media_type=MANIFEST,
                digest=ONE,
                size=3,
                platform=Platform(os="linux", architecture="arm64"),
            ),
        ),
    )
    assert parse_root(raw(document), media_type, LIMITS) == want
    assert parse_index(raw(document), "", LIMITS) == want


@pytest.mark.parametrize(
    "document", [index(), {"manifests": None, "mediaType": INDEX}], ids=["empty", "null"]
)
def test_parse_index_empty(document):
    assert parse_root(raw(document), INDEX, LIMITS) == Index(media_type=INDEX, manifests=())


MALFORMED = {
    "empty": b"",
    "html": b"<html><body>Log in</body></html>",
    "truncated": raw(manifest())[:-5],
    "trailing": raw(manifest()) + b"{}",
    "byte_order_mark": b"\xef\xbb\xbf" + raw(manifest()),
    "utf_16": json.dumps(manifest()).encode("utf-16"),
    "list": b"[]",
    "null": b"null",
    "number": b"7",
    "nan": b'{"config": NaN}',
    "deep": b'{"a":' + b"[" * 100_000,
    "deep_objects": b'{"a":' * 50_000,
    "many_values": b'{"a":[' + b"[]," * 400_000 + b"[]]}",
    "huge_number": b'{"schemaVersion": ' + b"9" * 5_000 + b"}",
    "key_twice": b'{"layers": [], "layers": []}',
    "keys_differ_in_case": raw(manifest(Layers=[])),
    "layers_and_manifests": raw(manifest(manifests=[])),
    "index_with_layers": raw(index(layers=[])),
    "index_with_config": raw(index(config={})),
    "other_media_type": raw(manifest(mediaType=DOCKER_MANIFEST)),
    "media_type_not_text": raw(manifest(mediaType=3)),
    "schema_version_text": raw(manifest(schemaVersion="2")),
    "schema_version_3": raw(manifest(schemaVersion=3)),
    "schema_version_true": raw(manifest(schemaVersion=True)),
    "no_config": raw({"layers": []}),
    "config_null": raw(manifest(config=None)),
    "config_list": raw(manifest(config=[])),
    "no_layers": raw({"config": descriptor(CONFIG)}),
    "layers_object": raw(manifest(layers={})),
    "layers_of_text": raw(manifest(layers=["x"])),
    "layer_null": raw(manifest(layers=[None])),
    "no_media_type": raw(manifest(layers=[{"digest": ONE, "size": 3}])),
    "no_digest": raw(manifest(layers=[{"mediaType": LAYER, "size": 3}])),
    "digest_number": raw(manifest(layers=[descriptor(digest=3)])),
    "digest_other": raw(manifest(layers=[descriptor(digest="md5:00")])),
    "digest_path": raw(manifest(layers=[descriptor(digest="sha256:../../../etc/passwd")])),
    "no_size": raw(manifest(layers=[{"mediaType": LAYER, "digest": ONE}])),
    "size_negative": raw(manifest(layers=[descriptor(size=-1)])),
    "size_huge": raw(manifest(layers=[descriptor(size=2**63)])),
    "size_float": raw(manifest(layers=[descriptor(size=3.0)])),
    "size_true": raw(manifest(layers=[descriptor(size=True)])),
    "size_text": raw(manifest(layers=[descriptor(size="3")])),
    "urls_text": raw(manifest(layers=[descriptor(urls="https://x.example")])),
    "urls_of_numbers": raw(manifest(layers=[descriptor(urls=[1])])),
    "annotations_list": raw(manifest(annotations=[])),
    "annotations_of_numbers": raw(manifest(annotations={"a": 1})),
    "data_not_base64": raw(manifest(layers=[descriptor(data="*")])),
    "data_not_ascii": raw(manifest(layers=[descriptor(data="\u00e9")])),
    "data_number": raw(manifest(layers=[descriptor(data=1)])),
    "platform_text": raw(manifest(layers=[descriptor(platform="linux")])),
    "platform_os_number": raw(manifest(layers=[descriptor(platform={"os": 1})])),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_parse_root_rejects(body):
    with pytest.raises(MalformedManifestError) as caught:
        parse_root(body, MANIFEST, LIMITS)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("parse", [parse_root, parse_index, parse_manifest])
def test_only_input_errors(parse, body):
    for content_type in (INDEX, DOCKER_LIST, "text/html"):
        with pytest.raises(InputError):
            parse(body, content_type, LIMITS)


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        pytest.param(manifest(), INDEX, id="manifest_as_index"),
        pytest.param(index(), MANIFEST, id="index_as_manifest"),
        pytest.param(index(mediaType=DOCKER_LIST), INDEX, id="docker_list_as_oci_index"),
        pytest.param(index(mediaType=INDEX), "application/json+x", id="unknown_header"),
    ],
)
def test_content_type_confusion(document, content_type):
    with pytest.raises(MalformedManifestError):
        parse_root(raw(document), content_type, LIMITS)


SCHEMA1 = {"schemaVersion": 1, "fsLayers": [{"blobSum": ONE}], "history": []}


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        pytest.param(SCHEMA1, f"{DOCKER}distribution.manifest.v1+json", id="schema1"),
        pytest.param(SCHEMA1, f"{DOCKER}distribution.manifest.v1+prettyjws", id="schema1_signed"),
        pytest.param(SCHEMA1, "application/json", id="schema1_unnamed"),
        pytest.param(SCHEMA1, MANIFEST, id="schema1_as_manifest"),
        pytest.param(
            manifest(config=descriptor("application/vnd.cncf.helm.config.v1+json")),
            MANIFEST,
            id="helm",
        ),
        pytest.param(
            manifest(config=descriptor("application/vnd.oci.empty.v1+json")), MANIFEST, id="empty"
        ),
        pytest.param({"blobs": []}, "application/vnd.oci.artifact.manifest.v1+json", id="artifact"),
        pytest.param({}, "text/html", id="html_type"),
    ],
)
def test_unsupported(document, content_type):
    with pytest.raises(UnsupportedError):
        parse_root(raw(document), content_type, LIMITS)


def test_limits():
    limits = Limits(layers_count=2, index_entries_count=2)
    with pytest.raises(LimitExceededError) as caught:
        parse_root(raw(manifest(layers=[descriptor()] * 3)), MANIFEST, limits)
    assert (caught.value.limit, caught.value.allowed, caught.value.seen) == ("layers_count", 2, 3)
    with pytest.raises(LimitExceededError) as caught:
        parse_root(raw(index(*[descriptor(MANIFEST)] * 3)), INDEX, limits)
    assert caught.value.limit == "index_entries_count"


@pytest.mark.parametrize("content", [b"other", b"eno"], ids=["size", "digest"])
def test_inlined_data_is_checked(content):
    data = base64.b64encode(content).decode()
    with pytest.raises(DigestMismatchError):
        parse_root(raw(manifest(layers=[descriptor(data=data)])), MANIFEST, LIMITS)


def test_verify_content():
    good = Descriptor(media_type=CONFIG, digest=digest_of(b"one", "sha512"), size=3)
    assert verify_content(b"one", good, what="config") == b"one"
    with pytest.raises(DigestMismatchError, match="config size: expected 3, got 4"):
        verify_content(b"ones", good, what="config")
    with pytest.raises(DigestMismatchError, match="config: expected sha512:"):
        verify_content(b"two", good, what="config")


def test_parse_config_in_full():
    document = {
        "created": "2026-01-01T00:00:00Z",
        "os": "linux",
        "architecture": "arm",
        "config": {
            "User": "app",
            "Env": ["A=b"],
            "Entrypoint": ["/run"],
            "Cmd": "serve",
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/data": None},
            "WorkingDir": "/srv",
            "Labels": {"a": "b", "A": None},
            "StopSignal": "SIGTERM",
            "OnBuild": ["RUN x"],
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1},
        },
        "rootfs": {"type": "layers", "diff_ids": [ONE]},
        "history": [{"created_by": "RUN x", "empty_layer": True}, {"comment": "c", "author": "a"}],
    }
    claimed = Platform(os="linux", architecture="arm", variant="v6")
    assert parse_config(raw(document), claimed) == ImageConfig(
        platform=claimed,
        created="2026-01-01T00:00:00Z",
        user="app",
        env=("A=b",),
        entrypoint=("/run",),
        cmd=("serve",),
        exposed_ports=("80/tcp",),
        volumes=("/data",),
        working_dir="/srv",
        labels={"a": "b", "A": ""},
        stop_signal="SIGTERM",
        on_build=("RUN x",),
        healthcheck=Healthcheck(test=("CMD", "true")),
        diff_ids=(ONE,),
        history=(
            HistoryEntry(created_by="RUN x", empty_layer=True),
            HistoryEntry(comment="c", author="a"),
        ),
    )


CONFIG_KEYS = ["created", "architecture", "os", "variant", "config", "rootfs", "history"]
RUN_KEYS = ["User", "Env", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "Labels", "Healthcheck"]
EMPTY_CONFIG = ImageConfig(platform=Platform(os="", architecture=""))


@pytest.mark.parametrize(
    "document",
    [
        {},
        dict.fromkeys(CONFIG_KEYS),
        {"config": dict.fromkeys(RUN_KEYS), "rootfs": {"diff_ids": None}},
    ],
    ids=["empty", "nulls", "inner_nulls"],
)
def test_parse_config_leaves_out(document):
    assert parse_config(raw(document)) == EMPTY_CONFIG


def test_platform_of_the_config_wins():
    claimed = Platform(os="linux", architecture="arm64")
    told = parse_config(raw({"os": "linux", "architecture": "amd64"}), claimed)
    assert told.platform == Platform(os="linux", architecture="amd64")
    assert parse_config(b"{}", claimed).platform == claimed


def test_config_text_that_is_not_utf_8_is_kept_readable():
    assert parse_config(b'{"config":{"Env":["A=\xff"]}}').env == ("A=\ufffd",)


BAD_CONFIGS = {
    "empty": b"",
    "html": b"<!doctype html>",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "config_list": raw({"config": []}),
    "env_text": raw({"config": {"Env": "A=b"}}),
    "env_number": raw({"config": {"Env": [1]}}),
    "entrypoint_number": raw({"config": {"Entrypoint": 1}}),
    "user_number": raw({"config": {"User": 0}}),
    "ports_list": raw({"config": {"ExposedPorts": ["80"]}}),
    "labels_list": raw({"config": {"Labels": []}}),
    "healthcheck_list": raw({"config": {"Healthcheck": []}}),
    "rootfs_text": raw({"rootfs": "x"}),
    "diff_ids_object": raw({"rootfs": {"diff_ids": {}}}),
    "diff_id_bad": raw({"rootfs": {"diff_ids": ["sha256:x"]}}),
    "history_object": raw({"history": {}}),
    "history_text": raw({"history": ["RUN x"]}),
    "empty_layer_text": raw({"history": [{"empty_layer": "yes"}]}),
    "os_number": raw({"os": 1}),
    "case_twins": raw({"config": {}, "Config": {}}),
}


@pytest.mark.parametrize("body", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_parse_config_rejects(body):
    with pytest.raises(MalformedManifestError):
        parse_config(body)


def entry(media_type=MANIFEST, *, annotations=None, os="linux", **more) -> Descriptor:
    return Descriptor(
        media_type=media_type,
        digest=ONE,
        size=3,
        platform=Platform(os=os, architecture="unknown" if os == "unknown" else "amd64"),
        annotations=annotations or {},
        **more,
    )


ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def test_runnable():
    image, nested = entry(), entry(INDEX)
    disguised = entry(annotations=ATTESTATION, artifact_type="text/x-disguise")
    unmarked = entry(os="unknown")
    skipped = [
        entry(os="unknown", annotations=ATTESTATION),
        entry("application/vnd.other+json"),
        entry("application/vnd.other+json", artifact_type="application/x-sbom"),
        entry(f"{DOCKER}distribution.manifest.v1+json"),
    ]
    found = runnable(
        Index(media_type=INDEX, manifests=(image, *skipped, nested, disguised, unmarked))
    )
    assert found == (
        [image, nested, disguised, unmarked],
        [
            FileIssue(path=ONE, code="skipped", reason="BuildKit attestation, not an image"),
            FileIssue(path=ONE, code="skipped", reason="not an image: application/vnd.other+json"),
            FileIssue(path=ONE, code="skipped", reason="not an image: application/x-sbom"),
            FileIssue(
                path=ONE,
                code="unsupported",
                reason="schema1 manifest: deprecated and not supported",
            ),
        ],
    )


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        (f"{OCI}layer.v1.tar", LayerKind.FILESYSTEM),
        (f"{OCI}layer.v1.tar+gzip", LayerKind.FILESYSTEM),
        (f"{OCI}layer.v1.tar+zstd", LayerKind.FILESYSTEM),
        (f"{DOCKER}image.rootfs.diff.tar.gzip", LayerKind.FILESYSTEM),
        (f"{DOCKER}image.rootfs.diff.tar.zstd", LayerKind.FILESYSTEM),
        (f"{OCI}layer.nondistributable.v1.tar+gzip", LayerKind.FOREIGN),
        (f"{DOCKER}image.rootfs.foreign.diff.tar.gzip", LayerKind.FOREIGN),
        (f"{OCI}layer.v1.tar+gzip+encrypted", LayerKind.ENCRYPTED),
        (f"{OCI}layer.nondistributable.v1.tar+encrypted", LayerKind.ENCRYPTED),
        ("application/vnd.in-toto+json", LayerKind.OTHER),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", LayerKind.OTHER),
    ],
)
def test_layer_kind(media_type, kind):
    assert layer_kind(media_type) is kind
    reason = why_not_scanned(Descriptor(media_type=media_type, digest=ONE, size=3))
    assert bool(reason) == (kind in {LayerKind.ENCRYPTED, LayerKind.OTHER})
