"""Look in a registry for what proves something of a digest; nothing else is asked.

Referrers first, by the registry's API or the tag that stands in for it, then the ``.att`` tag.

Source: https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from scanner.attest._manifests import (
    LAYER_PREDICATE_TYPE,
    PREDICATE_TYPE,
    Artifact,
    attestation_tag,
)
from scanner.attest._registry import (
    Found,
    attestation_layers,
    fetch_layer,
    is_attestation,
    layers_of_referrer,
    list_referrers,
    tagged_referrers,
)
from scanner.attest.verify import Demand, Proof, Refusal, check
from scanner.errors import (
    DigestMismatchError,
    InputError,
    ScannerError,
    UnverifiedError,
    UpstreamError,
)
from scanner.ports.attest import Predicate
from scanner.sources._registry_artifacts import ArtifactRepository

_FETCHED_COUNT: Final = 200
"""More attestations of the types asked for are not fetched: somebody is making us busy."""


class Refused(NamedTuple):
    """Something that proves nothing of what was asked, and why."""

    where: str
    refusal: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a registry proves of a digest."""

    proofs: tuple[Proof, ...]
    """The newest of each type."""
    refused: tuple[Refused, ...]


class _Candidate(NamedTuple):
    where: str
    predicate_type: str
    """As its annotation says: good enough to leave it out, no more."""
    fetch: Callable[[], Found]


def verify_from_registry(
    repository: ArtifactRepository, demand: Demand, predicates: Mapping[str, Predicate]
) -> Verification:
    """Return what the registry proves. ``predicates`` are the known ones by type.

    Raises:
        UpstreamError: the registry does not give something, and the rest does not prove all; also its subclasses.
    """
    proofs: dict[str, Proof] = {}
    refused: list[Refused] = []
    failures: list[UpstreamError] = []
    fetched_count = 0
    for candidate in _candidates(repository, demand, refused, failures):
        if candidate.predicate_type and candidate.predicate_type not in demand.types:
            reason = f"it states {candidate.predicate_type[:200]}"
            refused.append(Refused(candidate.where, Refusal.OTHER_TYPE, reason))
            continue
        fetched_count += 1
        if fetched_count > _FETCHED_COUNT:
            reason = f"more than {_FETCHED_COUNT} attestations: not looked at"
            refused.append(Refused(candidate.where, Refusal.MALFORMED, reason))
            break
        try:
            envelope, hint = candidate.fetch()
            proof = check(envelope, candidate.where, demand, predicates, hint=hint)
        except (UnverifiedError, InputError, UpstreamError) as error:
            refused.append(_refused(candidate.where, error, failures))
        else:
            # The same statement may be there as a referrer and under .att.
            proofs.setdefault(hashlib.sha256(envelope.payload).hexdigest(), proof)
    newest = _newest(proofs.values())
    if failures and not demand.types <= {p.statement.predicate_type for p in newest}:
        raise failures[0]
    return Verification(newest, tuple(refused))


def _newest(proofs: Iterable[Proof]) -> tuple[Proof, ...]:
    newest: dict[str, Proof] = {}
    for proof in proofs:
        kind = proof.statement.predicate_type
        if kind not in newest or _made_at(proof) > _made_at(newest[kind]):
            newest[kind] = proof
    return tuple(newest[kind] for kind in sorted(newest))


def _made_at(proof: Proof) -> datetime:
    return proof.made_at or datetime.min.replace(tzinfo=UTC)


def _refused(where: str, error: ScannerError, failures: list[UpstreamError]) -> Refused:
    if isinstance(error, UpstreamError):
        failures.append(error)
        return Refused(where, Refusal.UNREADABLE, str(error))
    if isinstance(error, UnverifiedError):
        return Refused(where, error.refusal, error.reason)
    if isinstance(error, DigestMismatchError):
        return Refused(where, Refusal.DAMAGED, f"its content is not what its digest says: {error}")
    return Refused(where, Refusal.MALFORMED, str(error))


def _candidates(
    repository: ArtifactRepository,
    demand: Demand,
    refused: list[Refused],
    failures: list[UpstreamError],
) -> Iterator[_Candidate]:
    """Yield whatever may be an attestation; what is broken on the way goes to ``refused``."""
    for lister in (_referrers, _attestations):
        try:
            yield from lister(repository, demand)
        except (UnverifiedError, InputError, UpstreamError) as error:
            refused.append(_refused("registry", error, failures))


def _referrers(repository: ArtifactRepository, demand: Demand) -> Iterator[_Candidate]:
    digest = demand.digest
    # Also where the registry knows referrers, but not those from before it did.
    listed = list_referrers(repository, digest) or tagged_referrers(repository, digest)
    for artifact, _ in listed:
        if is_attestation(artifact):
            yield _Candidate(
                f"referrer {artifact.digest[:19]}",
                artifact.annotation(PREDICATE_TYPE),
                _fetcher(repository, artifact),
            )


def _fetcher(repository: ArtifactRepository, artifact: Artifact) -> Callable[[], Found]:
    def fetch() -> Found:
        layers = layers_of_referrer(repository, artifact)
        if len(layers) != 1:
            raise UnverifiedError("referrer", f"expected one layer, got {len(layers)}")
        return fetch_layer(repository, layers[0])

    return fetch


def _attestations(repository: ArtifactRepository, demand: Demand) -> Iterator[_Candidate]:
    tag = attestation_tag(demand.digest)
    for artifact, _ in attestation_layers(repository, demand.digest):
        yield _Candidate(
            f"{tag[-4:]} {artifact.digest[:19]}",
            artifact.annotation(LAYER_PREDICATE_TYPE),
            partial(fetch_layer, repository, artifact),
        )
