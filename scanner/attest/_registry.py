"""Read what a registry holds of attestations. Nothing here is believed before its signature is verified.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from __future__ import annotations

from typing import Final, NamedTuple

from scanner.attest._manifests import (
    EMPTY_TYPE,
    INDEX_TYPE,
    PREDICATE_TYPE,
    Artifact,
    Listed,
    attestation_tag,
    parse_entries,
    parse_layers,
    referrers_tag,
)
from scanner.attest.bundle import BUNDLE_FAMILY, parse_bundle
from scanner.attest.dsse import ENVELOPE_TYPE, Envelope, parse_envelope
from scanner.errors import MalformedManifestError, NotFoundError, UnverifiedError
from scanner.model import Digest
from scanner.sources._registry_artifacts import ArtifactRepository, Stored

ATTESTATION_BYTES: Final = 64 * 1024 * 1024
"""Longest attestation that is read."""
IN_TOTO_TYPES: Final = frozenset({"application/vnd.in-toto+json", ENVELOPE_TYPE})


def list_referrers(repository: ArtifactRepository, digest: Digest) -> list[Listed] | None:
    """Return what refers to a digest; None if the registry does not know.

    Raises:
        MalformedManifestError: the answer is no index.
        UpstreamError: the registry does not answer as it should; also its subclasses.
    """
    pages = repository.referrers(digest)
    if pages is None:
        return None
    return [entry for page in pages for entry in parse_entries(page)]


def tagged_referrers(repository: ArtifactRepository, digest: Digest) -> list[Listed]:
    """Return what the tag for registries without referrers lists; raises like :func:`list_referrers`."""
    return entries_of(repository.manifest(referrers_tag(digest)))


def entries_of(stored: Stored | None) -> list[Listed]:
    """Return the entries of a stored index, none if there is none.

    Raises:
        MalformedManifestError: something else is there.
    """
    if stored is None:
        return []
    if stored.media_type != INDEX_TYPE:
        raise MalformedManifestError(
            f"the tag for referrers leads to {stored.media_type[:100]}, not to an index"
        )
    return parse_entries(stored.content)


def attestation_layers(repository: ArtifactRepository, digest: Digest) -> list[Listed]:
    """Return the layers under the ``.att`` tag, none if there is none; raises like :func:`list_referrers`."""
    stored = repository.manifest(attestation_tag(digest))
    return parse_layers(stored.content) if stored else []


def is_attestation(artifact: Artifact) -> bool:
    """Say whether a referrer may hold an attestation. Some registries tell the config's type for the artifact's."""
    kind = artifact.artifact_type
    return (
        kind.startswith(BUNDLE_FAMILY)
        or kind in IN_TOTO_TYPES
        or (kind in {"", EMPTY_TYPE} and bool(artifact.annotation(PREDICATE_TYPE)))
    )


class Found(NamedTuple):
    """An envelope, and which key has signed it as the bundle around it says; empty if nothing says so."""

    envelope: Envelope
    hint: str


def fetch_layer(repository: ArtifactRepository, artifact: Artifact) -> Found:
    """Return the envelope in a blob, a bundle's or a bare one.

    Raises:
        UnverifiedError: it holds no attestation, or is not there.
        DigestMismatchError: the content is not what its digest says.
        UpstreamError: the registry does not answer as it should; also its subclasses.
    """
    try:
        content = repository.blob(
            Digest(artifact.digest), artifact.size, most_bytes=ATTESTATION_BYTES
        )
    except NotFoundError as error:
        raise UnverifiedError(artifact.digest[:19], "its content is not there") from error
    if artifact.media_type.startswith(BUNDLE_FAMILY):
        return Found(*parse_bundle(content))
    if artifact.media_type in IN_TOTO_TYPES:
        return Found(parse_envelope(content), "")
    raise UnverifiedError(artifact.digest[:19], f"a {artifact.media_type[:80]}, not an attestation")


def layers_of_referrer(repository: ArtifactRepository, artifact: Artifact) -> list[Artifact]:
    """Return the layers of a referrer.

    Raises:
        UnverifiedError: its manifest is not there.
        MalformedManifestError: it is none.
        UpstreamError: the registry does not answer as it should; also its subclasses.
    """
    stored = repository.manifest(artifact.digest)
    if stored is None:
        raise UnverifiedError(artifact.digest[:19], "its manifest is not there")
    return [layer.artifact for layer in parse_layers(stored.content)]
