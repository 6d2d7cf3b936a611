"""Publish statements beside their image: as referrers with a sigstore bundle, and under the ``.att`` tag.

What is ours, by type and key, is replaced; what is others' stays. Of two scans the later one stays, whoever comes last.

Source: https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from scanner.attest._manifests import (
    CREATED,
    EMPTY,
    INDEX_TYPE,
    LAYER_PREDICATE_TYPE,
    MANIFEST_TYPE,
    PREDICATE_TYPE,
    SCANNED_AT,
    Artifact,
    Listed,
    annotations_of,
    attestation_layer,
    attestation_tag,
    encode_attestation_config,
    encode_attestation_manifest,
    encode_index,
    encode_referrer,
    index_entry,
    parse_layers,
    referrers_tag,
)
from scanner.attest._registry import (
    entries_of,
    fetch_layer,
    is_attestation,
    layers_of_referrer,
    list_referrers,
)
from scanner.attest._tags import TagChange, change_tags
from scanner.attest.bundle import encode_bundle
from scanner.attest.dsse import encode_envelope, pae
from scanner.attest.public_keys import VerificationKey, is_signed
from scanner.attest.statement import parse_statement
from scanner.attest.statements import DigestStatements, SignedStatement
from scanner.errors import InputError, NotFoundError, UnverifiedError
from scanner.model import Descriptor, Digest, digest_of
from scanner.reports._shared import moment
from scanner.sources._registry_artifacts import ArtifactRepository, Stored

Claim: TypeAlias = Callable[[str], AbstractContextManager[object]]
"""Hold the right to publish beside an image, by its full name, until the context ends."""


@dataclass(frozen=True, slots=True)
class Published:
    """What has become of the statements about one digest."""

    digest: Digest
    added_count: int
    """Referrers that were not there before."""
    removed_count: int
    """Older ones of ours that are not listed any more."""
    kept: tuple[str, ...]
    """Digests of older ones of ours that the registry does not let us delete."""
    has_referrers_api: bool


class _Own(NamedTuple):
    """A published attestation of ours. Of one type, the greatest stays."""

    predicate_type: str
    scanned_at: str
    created_at: str
    digest: str


@dataclass(slots=True)
class _Publication:
    """The work on one digest."""

    repository: ArtifactRepository
    subject: Descriptor
    signed: Sequence[SignedStatement]
    withdrawn: frozenset[str]
    """Types of which nothing is to be left that is not newer than this scan."""
    scanned_at: str
    key: VerificationKey
    created_at: str
    _ours: dict[str, str] = field(default_factory=dict)
    """Digest of a referrer or of a layer under ``.att`` -> its predicate type; empty if it is not ours."""
    _contents: dict[str, str] = field(default_factory=dict)
    """Digest of a referrer -> digest of its bundle."""
    _configs: set[Digest] = field(default_factory=set)

    @property
    def types(self) -> frozenset[str]:
        """Every type that is to be replaced."""
        return self.withdrawn | {s.predicate_type for s in self.signed}

    # Referrers

    def run(self) -> Published:
        repository, digest = self.repository, self.subject.digest
        before = list_referrers(repository, digest)
        known = before if before is not None else []
        tag = referrers_tag(digest)
        if before is None:
            known = entries_of(repository.manifest(tag))
        self.look_at(known)
        entries, is_listed = self.push_referrers(known)
        has_api = before is not None and is_listed
        changes = [self.attestations()]
        gone: set[str] = set()
        if not has_api:
            changes.append(self.referrers(tag, entries, gone))
        change_tags(repository, changes)
        if has_api:
            after = list_referrers(repository, digest) or []
            self.look_at(after)
            gone = self.outdated(after)
        kept = [one for one in sorted(gone) if not repository.delete_manifest(Digest(one))]
        return Published(
            digest=digest,
            added_count=sum(e["digest"] not in {k.artifact.digest for k in known} for e in entries),
            removed_count=len(gone) - (len(kept) if has_api else 0),
            kept=tuple(kept) if has_api else (),
            has_referrers_api=has_api,
        )

    def push_referrers(self, known: Sequence[Listed]) -> tuple[list[dict[str, Any]], bool]:
        """Push what is not there yet; return our entries, and whether the registry lists them itself."""
        entries: list[dict[str, Any]] = []
        is_listed = True
        self.repository.push_blob(EMPTY)
        same = {
            self._contents[k.artifact.digest]: k.raw
            for k in known
            if self._ours.get(k.artifact.digest)
        }
        for one in self.signed:
            bundle = encode_bundle(one.envelope, self.key)
            there = same.get(digest_of(bundle))
            if there is not None:
                entries.append(there)
                continue
            self.repository.push_blob(bundle)
            about = annotations_of(one.predicate_type, moment(one.scanned_at), self.created_at)
            manifest = encode_referrer(bundle, self.subject, about)
            digest = digest_of(manifest)
            reply = self.repository.push_manifest(digest, manifest, MANIFEST_TYPE)
            is_listed = is_listed and reply is not None and "OCI-Subject" in reply.headers
            entries.append(index_entry(manifest, about))
            self._ours[digest] = one.predicate_type
        return entries, is_listed

    def referrers(self, tag: str, entries: list[dict[str, Any]], gone: set[str]) -> TagChange:
        """Return the change of the index of referrers; what it leaves out is added to ``gone``."""

        def prepare(stored: Stored | None) -> None:
            self.look_at(entries_of(stored))

        def change(stored: Stored | None) -> bytes | None:
            listed = entries_of(stored)
            wanted = _merged(listed, entries)
            outdated = self.outdated(wanted)
            gone.update(outdated)
            left = [one.raw for one in wanted if one.artifact.digest not in outdated]
            return None if left == [one.raw for one in listed] else encode_index(left)

        return TagChange(tag, INDEX_TYPE, prepare, change)

    # The .att tag

    def attestations(self) -> TagChange:
        """Return the change of the ``.att`` manifest."""
        new: list[dict[str, Any]] = []
        for one in self.signed:
            envelope = encode_envelope(one.envelope)
            self._ours[self.repository.push_blob(envelope)] = one.predicate_type
            new.append(
                attestation_layer(
                    envelope, one.predicate_type, moment(one.scanned_at), self.created_at
                )
            )

        def layers(stored: Stored | None) -> list[dict[str, Any]] | None:
            listed = parse_layers(stored.content) if stored else []
            wanted = _merged(listed, new)
            outdated = self.outdated(wanted)
            left = [one.raw for one in wanted if one.artifact.digest not in outdated]
            return None if left == [one.raw for one in listed] else left

        def prepare(stored: Stored | None) -> None:
            if stored is not None:
                self.look_at_layers(parse_layers(stored.content))
            left = layers(stored)
            if left is not None:
                self.push_config(left)

        def change(stored: Stored | None) -> bytes | None:
            left = layers(stored)
            return (
                None if left is None else encode_attestation_manifest(self.push_config(left), left)
            )

        return TagChange(attestation_tag(self.subject.digest), MANIFEST_TYPE, prepare, change)

    def push_config(self, layers: Sequence[dict[str, Any]]) -> bytes:
        config = encode_attestation_config(layers)
        if digest_of(config) not in self._configs:
            self._configs.add(self.repository.push_blob(config))
        return config

    # What is ours

    def outdated(self, listed: Iterable[Listed]) -> set[str]:
        """Return the digests of what is ours and not the newest of its type, or withdrawn."""
        own = [
            _Own(
                self._ours[one.artifact.digest],
                one.artifact.annotation(SCANNED_AT),
                one.artifact.annotation(CREATED),
                one.artifact.digest,
            )
            for one in listed
            if self._ours.get(one.artifact.digest) in self.types
        ]
        newest = {o.predicate_type: o for o in sorted(own)}
        return {
            o.digest
            for o in own
            if o != newest[o.predicate_type]
            or (o.predicate_type in self.withdrawn and o.scanned_at <= self.scanned_at)
        }

    def look_at(self, listed: Iterable[Listed]) -> None:
        """Find out which referrers of our types are signed with our key."""
        for one in listed:
            artifact = one.artifact
            if artifact.digest in self._contents or not is_attestation(artifact):
                continue
            if artifact.annotation(PREDICATE_TYPE) not in {"", *self.types}:
                continue
            self._ours[artifact.digest] = self._contents[artifact.digest] = ""
            try:
                (layer,) = layers_of_referrer(self.repository, artifact)
            except (UnverifiedError, InputError, ValueError):
                continue  # whatever it is: not ours to take away
            self._ours[artifact.digest] = self.type_if_ours(layer)
            self._contents[artifact.digest] = layer.digest

    def look_at_layers(self, listed: Iterable[Listed]) -> None:
        """Find out which layers under ``.att`` of our types are signed with our key."""
        for one in listed:
            artifact = one.artifact
            may_be = artifact.annotation(LAYER_PREDICATE_TYPE) in {"", *self.types}
            if may_be and artifact.digest not in self._ours:
                self._ours[artifact.digest] = self.type_if_ours(artifact)

    def type_if_ours(self, layer: Artifact) -> str:
        """Return the predicate type of what our key has signed; empty for anything else."""
        try:
            envelope = fetch_layer(self.repository, layer).envelope
            message = pae(envelope.payload_type, envelope.payload)
            if any(is_signed(self.key.key, s.value, message) for s in envelope.signatures):
                return parse_statement(envelope).predicate_type
        except (UnverifiedError, InputError):
            pass
        return ""


def _merged(listed: Sequence[Listed], new: Sequence[dict[str, Any]]) -> list[Listed]:
    """Return what is there, and what of the new is not."""
    there = {one.artifact.digest for one in listed}
    added = [raw for raw in new if raw["digest"] not in there]
    return [*listed, *(_as_listed(raw) for raw in added)]


def _as_listed(raw: dict[str, Any]) -> Listed:
    return Listed(
        Artifact(
            media_type=raw["mediaType"],
            digest=raw["digest"],
            size=raw["size"],
            artifact_type=raw.get("artifactType", ""),
            annotations=raw["annotations"],
        ),
        raw,
    )


def publish(
    repository: ArtifactRepository,
    subject: Descriptor,
    signed: Sequence[SignedStatement],
    *,
    withdrawn: Iterable[str],
    scanned_at: datetime,
    key: VerificationKey,
) -> Published:
    """Publish the statements about one digest; of the ``withdrawn`` types take away what is ours and not newer.

    Publishing the same again changes nothing.

    Raises:
        MalformedManifestError: a tag that we have to write leads to something else; it is left as it is.
        UpstreamError: the registry does not take it; also its subclasses.
    """
    return _Publication(
        repository=repository,
        subject=subject,
        signed=signed,
        withdrawn=frozenset(withdrawn),
        scanned_at=moment(scanned_at),
        key=key,
        created_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
    ).run()


def publish_statements(
    repository: ArtifactRepository,
    statements: Iterable[DigestStatements],
    key: VerificationKey,
    claim: Claim,
) -> Iterator[Published]:
    """Publish the statements about each digest; yield what has become of them, one after another.

    ``claim`` keeps those who share it from publishing beside the same digest at once.

    Raises:
        NotFoundError: the registry does not hold the image.
        MalformedManifestError, UpstreamError: as :func:`publish`.
    """
    for one in statements:
        stored = repository.manifest(one.digest)
        if stored is None:
            raise NotFoundError(repository.host, "publish", f"{one.digest} is not there")
        subject = Descriptor(
            media_type=stored.media_type, digest=one.digest, size=len(stored.content)
        )
        with claim(f"{repository.name}@{one.digest}"):
            done = publish(
                repository,
                subject,
                one.signed,
                withdrawn=one.withdrawn,
                scanned_at=one.scanned_at,
                key=key,
            )
        yield done
