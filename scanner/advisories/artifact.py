"""Databases as an OCI artifact: one manifest, a layer for each. Pure.

Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from scanner.advisories.database import SUFFIX, About
from scanner.decoding import decode_json
from scanner.errors import MalformedManifestError
from scanner.model import Descriptor, Digest, digest_of, parse_digest

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.scanner.advisories.v1"
LAYER_TYPE: Final = "application/vnd.scanner.advisories.database.v1+sqlite3"
PREDICATE_TYPE: Final = "https://scanner.dev/attestation/advisories/v1"
EMPTY: Final = b"{}"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_UNIT: Final = "dev.scanner.advisories.unit"
_TITLE: Final = "org.opencontainers.image.title"
_LICENCES: Final = "org.opencontainers.image.licenses"
_LAYERS_COUNT: Final = 500


class _Layer(msgspec.Struct, rename="camel"):
    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}


class _Manifest(msgspec.Struct, rename="camel"):
    layers: list[_Layer]
    artifact_type: str = ""


def encode_manifest(layers: Mapping[str, tuple[Digest, int, About]]) -> bytes:
    """Return the manifest of databases by unit; the same bytes for the same databases."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": _EMPTY_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)},
            "layers": [
                {
                    "mediaType": LAYER_TYPE,
                    "digest": digest,
                    "size": size,
                    "annotations": {
                        _UNIT: unit,
                        _TITLE: f"{unit}{SUFFIX}",
                        _LICENCES: about.licence,
                        "org.opencontainers.image.created": about.fetched_at,
                    },
                }
                for unit, (digest, size, about) in sorted(layers.items())
            ],
        }
    )


def parse_manifest(content: bytes) -> dict[str, Descriptor]:
    """Return the databases of an artifact by unit.

    Raises:
        MalformedManifestError: it is no artifact of databases, or names one twice.
        InvalidReferenceError: a digest is none.
    """
    try:
        manifest = decode_json(content, _Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedManifestError("not the manifest of advisory databases") from error
    if manifest.artifact_type != ARTIFACT_TYPE or not 0 < len(manifest.layers) <= _LAYERS_COUNT:
        raise MalformedManifestError(f"not an artifact of type {ARTIFACT_TYPE}")
    found: dict[str, Descriptor] = {}
    for layer in manifest.layers:
        unit = layer.annotations.get(_UNIT, "")
        if layer.media_type != LAYER_TYPE or not unit or unit in found or layer.size < 0:
            raise MalformedManifestError("a layer is no advisory database, or is there twice")
        found[unit] = Descriptor(
            media_type=layer.media_type, digest=parse_digest(layer.digest), size=layer.size
        )
    return found


def predicate_of(abouts: Mapping[str, About]) -> dict[str, object]:
    """Return what is stated of an artifact: what it holds, and from when."""
    return {
        "databases": [
            {
                "unit": unit,
                "content": about.content,
                "source": about.source,
                "fetchedAt": about.fetched_at,
                "records": about.records_count,
            }
            for unit, about in sorted(abouts.items())
        ]
    }
