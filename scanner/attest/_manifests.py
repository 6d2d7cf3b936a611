"""How attestations lie in a registry: manifests, their lists, and the tags that lead to them. Pure.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from scanner.attest.bundle import BUNDLE_TYPE
from scanner.attest.dsse import ENVELOPE_TYPE
from scanner.decoding import convert
from scanner.errors import InvalidReferenceError, MalformedManifestError
from scanner.model import Descriptor, Digest, digest_of, parse_digest

INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
EMPTY: Final = b"{}"
PREDICATE_TYPE: Final = "dev.sigstore.bundle.predicateType"
"""Annotation of a referrer; without it nobody knows which referrers to fetch."""
LAYER_PREDICATE_TYPE: Final = "predicateType"
"""The same, of a layer under the ``.att`` tag."""
SCANNED_AT: Final = "dev.scanner.scanned-at"
CREATED: Final = "org.opencontainers.image.created"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
_LISTED_COUNT: Final = 1_000
_NO_TIME: Final = "0001-01-01T00:00:00Z"


class Artifact(msgspec.Struct, frozen=True, rename="camel"):
    """A descriptor, as far as we look at it."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: dict[str, str] | None = None

    def annotation(self, name: str) -> str:
        """Return an annotation; empty where it is not there."""
        return (self.annotations or {}).get(name, "")


class Listed(NamedTuple):
    """An entry of an index or a layer of a manifest, with whatever else it says."""

    artifact: Artifact
    raw: dict[str, Any]


def referrers_tag(digest: Digest) -> str:
    """Return the tag of the index of referrers where the registry keeps none itself."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def attestation_tag(digest: Digest) -> str:
    """Return the tag under which cosign keeps attestations."""
    return f"{digest.replace(':', '-')}.att"


def descriptor_of(content: bytes, media_type: str, annotations: dict[str, str]) -> dict[str, Any]:
    """Return the descriptor of a blob."""
    return {
        "mediaType": media_type,
        "digest": digest_of(content),
        "size": len(content),
        "annotations": annotations,
    }


def annotations_of(predicate_type: str, scanned_at: str, created_at: str) -> dict[str, str]:
    """Return the annotations of a referrer."""
    return {
        PREDICATE_TYPE: predicate_type,
        "dev.sigstore.bundle.content": "dsse-envelope",
        SCANNED_AT: scanned_at,
        CREATED: created_at,
    }


def encode_referrer(bundle: bytes, subject: Descriptor, annotations: dict[str, str]) -> bytes:
    """Return the manifest of an artifact that refers to an image: one layer, the bundle."""
    layer = descriptor_of(bundle, BUNDLE_TYPE, {})
    del layer["annotations"]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": BUNDLE_TYPE,
        "config": {"mediaType": EMPTY_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)},
        "layers": [layer],
        "subject": {
            "mediaType": subject.media_type,
            "digest": subject.digest,
            "size": subject.size,
        },
        "annotations": annotations,
    }
    return msgspec.json.encode(manifest)


def index_entry(manifest: bytes, annotations: dict[str, str]) -> dict[str, Any]:
    """Return a referrer's entry in the index of referrers."""
    return {**descriptor_of(manifest, MANIFEST_TYPE, annotations), "artifactType": BUNDLE_TYPE}


def encode_index(entries: Sequence[dict[str, Any]]) -> bytes:
    """Return an index of referrers."""
    return msgspec.json.encode(
        {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(entries)}
    )


def attestation_layer(
    envelope: bytes, predicate_type: str, scanned_at: str, created_at: str
) -> dict[str, Any]:
    """Return a layer under the ``.att`` tag. cosign wants the annotation of a signature, empty as it is."""
    return descriptor_of(
        envelope,
        ENVELOPE_TYPE,
        {
            "dev.cosignproject.cosign/signature": "",
            LAYER_PREDICATE_TYPE: predicate_type,
            SCANNED_AT: scanned_at,
            CREATED: created_at,
        },
    )


def encode_attestation_config(layers: Sequence[dict[str, Any]]) -> bytes:
    """Return the config that belongs to the layers of an ``.att`` manifest."""
    return msgspec.json.encode(
        {
            "architecture": "",
            "created": _NO_TIME,
            "history": [{"created": _NO_TIME} for _ in layers],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
            "config": {},
        }
    )


def encode_attestation_manifest(config: bytes, layers: Sequence[dict[str, Any]]) -> bytes:
    """Return the manifest under the ``.att`` tag."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": _CONFIG_TYPE,
                "size": len(config),
                "digest": digest_of(config),
            },
            "layers": list(layers),
        }
    )


def parse_entries(content: bytes) -> list[Listed]:
    """Return the entries of an index; raises like :func:`parse_layers`."""
    return _listed(content, "manifests", "an index of referrers")


def parse_layers(content: bytes) -> list[Listed]:
    """Return the layers of a manifest.

    Raises:
        MalformedManifestError: it is none, or one with more than 1,000 layers.
    """
    return _listed(content, "layers", "the manifest of an artifact")


def _listed(content: bytes, key: str, what: str) -> list[Listed]:
    try:
        document = msgspec.json.decode(content)
        items = document.get(key) or [] if isinstance(document, dict) else None
        if not isinstance(items, list) or not isinstance(document.get(key, []), list | None):
            raise MalformedManifestError(f"not {what}")
        if len(items) > _LISTED_COUNT:
            raise MalformedManifestError(f"{what} with more than {_LISTED_COUNT} {key}")
        found = [Listed(convert(item, Artifact), item) for item in items]
        for one in found:
            parse_digest(one.artifact.digest)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
        InvalidReferenceError,
    ) as error:
        raise MalformedManifestError(f"not {what}") from error
    return found
