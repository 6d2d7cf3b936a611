"""Manifests, indexes and image configs: untrusted JSON in, frozen nouns out, for every source.

Keys are matched without regard to case, as the runtimes (all written in Go) do; two keys that differ
only in case are refused, because tools would disagree about which one counts.

Source: https://github.com/opencontainers/image-spec
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Final

from scanner.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    LimitExceededError,
    MalformedManifestError,
    UnsupportedError,
)
from scanner.model import (
    Descriptor,
    DiffID,
    Digest,
    FileIssue,
    HistoryEntry,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    digest_of,
    normalise_platform,
    parse_diff_id,
    parse_digest,
)
from scanner.model.oci import (
    CONFIG_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    SCHEMA1_TYPES,
    Healthcheck,
)
from scanner.ports.limits import Limits
from scanner.sources._fields import (
    Table,
    read_command,
    read_document,
    read_keys,
    read_list,
    read_required_list,
    read_table,
    read_text,
    read_text_map,
    read_texts,
    wrong,
)

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"

_GENERIC_TYPES: Final = frozenset({"", "application/json", "application/octet-stream"})
"""Content types that say nothing about what a document is."""
_LAYER_PREFIXES: Final = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
)
_FOREIGN_PREFIXES: Final = (
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_SIZE_MAXIMUM: Final = 2**63 - 1
_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_UNKNOWN_PLATFORM: Final = ("unknown", "unknown")


class LayerKind(StrEnum):
    """What a layer's media type lets us do."""

    FILESYSTEM = "filesystem"  # fetch and scan
    FOREIGN = (
        "foreign"  # scan if the registry itself has it, else report; its urls are never fetched
    )
    ENCRYPTED = "encrypted"  # report as not scanned
    OTHER = "other"  # not a filesystem (in-toto, Helm): report as not scanned


def layer_kind(media_type: str) -> LayerKind:
    """Return the kind of a layer of this media type."""
    lowered = media_type.lower()
    if "+encrypted" in lowered:
        return LayerKind.ENCRYPTED
    if lowered.startswith(_FOREIGN_PREFIXES):
        return LayerKind.FOREIGN
    return LayerKind.FILESYSTEM if lowered.startswith(_LAYER_PREFIXES) else LayerKind.OTHER


def why_not_scanned(descriptor: Descriptor) -> str:
    """Return why this layer can't be scanned; empty if it can be, or (foreign) may be."""
    match layer_kind(descriptor.media_type):
        case LayerKind.FILESYSTEM | LayerKind.FOREIGN:
            return ""
        case LayerKind.ENCRYPTED:
            return "the layer is encrypted"
        case LayerKind.OTHER:
            return f"not a filesystem layer: {descriptor.media_type[:160]}"


def verify_content(content: bytes, descriptor: Descriptor, *, what: str) -> bytes:
    """Return ``content`` if it has the descriptor's size and digest.

    Raises:
        DigestMismatchError: it has not; ``what`` names it.
    """
    if len(content) != descriptor.size:
        raise DigestMismatchError(f"{what} size", str(descriptor.size), str(len(content)))
    actual = digest_of(content, descriptor.digest.partition(":")[0])
    if actual != descriptor.digest:
        raise DigestMismatchError(what, descriptor.digest, actual)
    return content


def parse_root(raw: bytes, content_type: str, limits: Limits) -> Manifest | Index:
    """Return what a reference names: a manifest or an index.

    ``content_type`` is the reply's Content-Type or the descriptor's media type, with or without
    parameters; empty, ``application/json`` and ``application/octet-stream`` leave it to the document.

    Raises:
        MalformedManifestError: not JSON, wrong types, both ``layers`` and ``manifests``, a
            ``mediaType`` that disagrees with ``content_type``.
        UnsupportedError: schema1, or not an image (Helm chart, WASM module, signature …).
        LimitExceededError: ``layers_count``, ``index_entries_count``.
        DigestMismatchError: inlined ``data`` of a descriptor is not what the descriptor says.
    """
    document = read_document(raw, "manifest")
    media_type = _media_type(document, content_type)
    if media_type in INDEX_TYPES:
        return _index(document, media_type, limits)
    return _manifest(document, media_type, limits)


def parse_manifest(raw: bytes, content_type: str, limits: Limits) -> Manifest:
    """Return a manifest; raises like :func:`parse_root`, and where it is an index."""
    root = parse_root(raw, content_type, limits)
    if not isinstance(root, Manifest):
        raise MalformedManifestError("expected a manifest, got an index")
    return root


def parse_index(raw: bytes, content_type: str, limits: Limits) -> Index:
    """Return an index; raises like :func:`parse_root`, and where it is a manifest."""
    root = parse_root(raw, content_type, limits)
    if not isinstance(root, Index):
        raise MalformedManifestError("expected an index, got a manifest")
    return root


def parse_config(raw: bytes, platform: Platform | None = None) -> ImageConfig:
    """Return an image config. ``platform`` (of the descriptor) fills in what the config leaves out.

    Raises:
        MalformedManifestError: not JSON, wrong types, or a diff_id that is no digest.
    """
    document = read_document(raw, "config")
    run = read_table(document.get("config"), "config.config")
    rootfs = read_table(document.get("rootfs"), "config.rootfs")
    return ImageConfig(
        platform=_config_platform(document, platform),
        created=read_text(document, "created", "config"),
        user=read_text(run, "user", "config.config"),
        env=read_texts(run.get("env"), "config.config.Env"),
        entrypoint=read_command(run.get("entrypoint"), "config.config.Entrypoint"),
        cmd=read_command(run.get("cmd"), "config.config.Cmd"),
        exposed_ports=read_keys(run.get("exposedports"), "config.config.ExposedPorts"),
        volumes=read_keys(run.get("volumes"), "config.config.Volumes"),
        working_dir=read_text(run, "workingdir", "config.config"),
        labels=read_text_map(run.get("labels"), "config.config.Labels"),
        stop_signal=read_text(run, "stopsignal", "config.config"),
        on_build=read_texts(run.get("onbuild"), "config.config.OnBuild"),
        healthcheck=_healthcheck(run.get("healthcheck")),
        diff_ids=tuple(
            _diff_id(one, f"config.rootfs.diff_ids[{i}]")
            for i, one in enumerate(read_list(rootfs.get("diff_ids"), "config.rootfs.diff_ids"))
        ),
        history=tuple(
            _history_entry(one, f"config.history[{i}]")
            for i, one in enumerate(read_list(document.get("history"), "config.history"))
        ),
    )


def runnable(index: Index) -> tuple[list[Descriptor], list[FileIssue]]:
    """Return the entries that a runtime might pick (nested indexes too), and the others with reasons.

    An entry's ``artifactType`` is no reason to skip it: runtimes do not look at it, so it would hide
    an image. Parsing its manifest says whether it is one.
    """
    chosen: list[Descriptor] = []
    skipped: list[FileIssue] = []
    for entry in index.manifests:
        reason = _skip_reason(entry)
        if not reason:
            chosen.append(entry)
            continue
        code = "unsupported" if entry.media_type in SCHEMA1_TYPES else "skipped"
        skipped.append(FileIssue(path=entry.digest, reason=reason, code=code))
    return chosen, skipped


def _skip_reason(entry: Descriptor) -> str:
    if entry.media_type in SCHEMA1_TYPES:
        return "schema1 manifest: deprecated and not supported"
    if entry.media_type not in MANIFEST_TYPES | INDEX_TYPES:
        kind = entry.artifact_type or entry.media_type
        return f"not an image: {kind[:160]}"
    platform = entry.platform or Platform()
    # Both marks, because a runtime could still pick an entry that has a real platform.
    if (platform.os, platform.architecture) == _UNKNOWN_PLATFORM and (
        entry.annotations.get(_REFERENCE_TYPE) == "attestation-manifest"
    ):
        return "BuildKit attestation, not an image"
    return ""


def _media_type(document: Table, content_type: str) -> str:
    """Return the one media type on which header, body and shape agree."""
    said = content_type.partition(";")[0].strip().lower()
    written = read_text(document, "mediatype", "manifest")
    _refuse_mixed(document)
    if SCHEMA1_TYPES & {said, written} or "fslayers" in document or _version(document) == 1:
        raise UnsupportedError("manifest", "schema1 is deprecated and not supported")
    if said in _GENERIC_TYPES:
        said = written or (OCI_INDEX if "manifests" in document else OCI_MANIFEST)
    if written and written != said:
        raise MalformedManifestError(f"mediaType {written[:120]!r} but served as {said[:120]!r}")
    if said not in INDEX_TYPES | MANIFEST_TYPES:
        raise UnsupportedError(said[:160], "not an image")
    return said


def _version(document: Table) -> int:
    value = document.get("schemaversion")
    if value is None:
        return 2
    if type(value) is not int or value not in (1, 2):
        raise MalformedManifestError("schemaVersion is not 2")
    return value


def _refuse_mixed(document: Table) -> None:
    if document.get("manifests") is not None and (
        document.get("layers") is not None or document.get("config") is not None
    ):
        raise MalformedManifestError("both an index (manifests) and a manifest (layers, config)")


def _index(document: Table, media_type: str, limits: Limits) -> Index:
    entries = read_required_list(document, "manifests")
    _bound("index_entries_count", limits.index_entries_count, len(entries))
    return Index(
        media_type=media_type,
        manifests=tuple(_descriptor(one, f"manifests[{i}]") for i, one in enumerate(entries)),
        annotations=read_text_map(document.get("annotations"), "annotations"),
    )


def _manifest(document: Table, media_type: str, limits: Limits) -> Manifest:
    if "config" not in document:
        raise MalformedManifestError("a manifest without config")
    config = _descriptor(document["config"], "config")
    if config.media_type not in CONFIG_TYPES:
        raise UnsupportedError(f"config of type {config.media_type[:160]}", "not an image")
    layers = read_required_list(document, "layers")
    _bound("layers_count", limits.layers_count, len(layers))
    return Manifest(
        media_type=media_type,
        config=config,
        layers=tuple(_descriptor(one, f"layers[{i}]") for i, one in enumerate(layers)),
        annotations=read_text_map(document.get("annotations"), "annotations"),
        artifact_type=read_text(document, "artifacttype", "manifest"),
    )


def _bound(limit: str, allowed: int, seen: int) -> None:
    if seen > allowed:
        raise LimitExceededError(limit, allowed, seen)


def _descriptor(value: object, where: str) -> Descriptor:
    table = read_table(value, where)
    media_type = read_text(table, "mediatype", where)
    if not media_type:
        raise MalformedManifestError(f"{where}: no mediaType")
    found = Descriptor(
        media_type=media_type,
        digest=_digest(table.get("digest"), where),
        size=_size(table.get("size"), where),
        platform=_platform(table.get("platform"), where),
        annotations=read_text_map(table.get("annotations"), f"{where}.annotations"),
        urls=read_texts(table.get("urls"), f"{where}.urls"),
        artifact_type=read_text(table, "artifacttype", where),
        data=_data(table.get("data"), where),
    )
    if found.data is not None:
        verify_content(found.data, found, what=f"{where}.data")
    return found


def _digest(value: object, where: str) -> Digest:
    try:
        return parse_digest(value)
    except InvalidReferenceError as error:
        raise MalformedManifestError(f"{where}.digest: {error.reason}") from error


def _diff_id(value: object, where: str) -> DiffID:
    try:
        return parse_diff_id(value)
    except InvalidReferenceError as error:
        raise MalformedManifestError(f"{where}: {error.reason}") from error


def _size(value: object, where: str) -> int:
    if type(value) is not int or not 0 <= value <= _SIZE_MAXIMUM:
        raise MalformedManifestError(f"{where}.size: expected 0 to 2^63-1")
    return value


def _data(value: object, where: str) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        wrong(f"{where}.data", "base64 text", value)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedManifestError(f"{where}.data: not base64") from error


def _platform(value: object, where: str) -> Platform | None:
    if value is None:
        return None
    table = read_table(value, f"{where}.platform")
    return _platform_of(table, f"{where}.platform")


def _platform_of(table: Table, where: str) -> Platform:
    return normalise_platform(
        Platform(
            os=read_text(table, "os", where),
            architecture=read_text(table, "architecture", where),
            variant=read_text(table, "variant", where),
            os_version=read_text(table, "os.version", where),
        )
    )


def _config_platform(document: Table, claimed: Platform | None) -> Platform:
    """Return the config's platform; a variant is taken from the index where os and architecture agree."""
    own = _platform_of(document, "config")
    if claimed is None:
        return own
    os, architecture = own.os or claimed.os, own.architecture or claimed.architecture
    agrees = (os, architecture) == (claimed.os, claimed.architecture)
    written = read_text(document, "variant", "config")
    return normalise_platform(
        Platform(
            os=os,
            architecture=architecture,
            variant=claimed.variant if agrees and not written else own.variant,
            os_version=own.os_version or (claimed.os_version if agrees else ""),
        )
    )


def _healthcheck(value: object) -> Healthcheck | None:
    if value is None:
        return None
    table = read_table(value, "config.config.Healthcheck")
    return Healthcheck(test=read_texts(table.get("test"), "config.config.Healthcheck.Test"))


def _history_entry(value: object, where: str) -> HistoryEntry:
    table = read_table(value, where)
    empty = table.get("empty_layer")
    if not isinstance(empty, bool | None):
        wrong(f"{where}.empty_layer", "true or false", empty)
    return HistoryEntry(
        created=read_text(table, "created", where),
        created_by=read_text(table, "created_by", where),
        comment=read_text(table, "comment", where),
        author=read_text(table, "author", where),
        empty_layer=bool(empty),
    )
