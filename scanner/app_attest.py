"""The composition root of attestations: from settings to keys, predicates and repositories."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scanner import app, discovery
from scanner.config import Settings
from scanner.errors import KeyNotFoundError, RevokedKeyError, SettingsError, SigningKeyError
from scanner.model import Reference, parse_digest, parse_reference
from scanner.ports import ReportStore
from scanner.ports.attest import Predicate
from scanner.ports.attestations import PublishingTask, StoredStatement

if TYPE_CHECKING:
    from scanner.attest.private_keys import Passphrase, Signer
    from scanner.attest.public_keys import VerificationKey
    from scanner.attest.publish import Claim
    from scanner.policy.compiled import Policy
    from scanner.service.attest_publish import Publish
    from scanner.sources._registry_artifacts import ArtifactRepository
    from scanner.store.service import SqlServiceStore

_LOG: Final = logging.getLogger(__name__)
_KEY_FILE: Final = "signing.key"
_RENEWALS_COUNT: Final = 14
"""Looks in the time that a statement counts, for images whose scan before it expires did not come."""
_RENEWED_AGAIN: Final = timedelta(hours=1)
_CLAIM: Final = "publish"
_CLAIM_SECONDS: Final = 120.0
"""Longer than one publication takes; who waits in vain goes on all the same, and looks twice."""


def key_path(settings: Settings) -> Path:
    """Return where the private key is, unless it is in a KMS or HSM."""
    if settings.attest.key:
        return Path(settings.attest.key).expanduser()
    return app.data_directory(settings) / _KEY_FILE


def open_signer(settings: Settings, passphrase: Passphrase) -> tuple[Signer, bool]:
    """Return what signs, and whether its key was made just now: the default one is, when it is first needed.

    Raises:
        RevokedKeyError: the key is among ``attest.revoked_keys``.
        SigningKeyError: it is not there, not safe, not readable, not a key; also its subclasses.
    """
    from scanner.attest import key_files, kms  # noqa: PLC0415 - cryptography costs 0.1 s

    chosen = settings.attest.key
    made = False
    signer: Signer
    if kms.is_key_uri(chosen):
        signer = kms.open_key_uri(chosen, _public_key(settings), passphrase)
    elif chosen:
        signer = key_files.load_signer(key_path(settings), passphrase)
    else:
        signer, made = key_files.load_or_make_signer(key_path(settings), passphrase)
    if signer.key.id in revoked_keys(settings):
        raise RevokedKeyError(
            chosen or str(key_path(settings)),
            f"the key {signer.key.id[:16]}… is revoked",
            hint="make a new one: scanner key generate",
        )
    return signer, made


def _public_key(settings: Settings) -> VerificationKey:
    from scanner.attest import key_files  # noqa: PLC0415 - as above

    if not settings.attest.public_key:
        raise SigningKeyError(
            settings.attest.key.partition(":")[0],
            "a key in a KMS or HSM needs its public key in a file",
            hint="name it: attest.public_key",
        )
    (key, *more) = key_files.load_public_keys([Path(settings.attest.public_key).expanduser()])
    if more:
        raise SigningKeyError(settings.attest.public_key, "expected one public key")
    return key


def trusted_keys(settings: Settings) -> tuple[VerificationKey, ...]:
    """Return the keys whose signatures count.

    Raises:
        KeyNotFoundError: none is named, or a file is not there.
        SigningKeyError: a file holds none that can be used.
    """
    from scanner.attest import key_files  # noqa: PLC0415 - as above

    if not settings.attest.trusted_keys:
        raise KeyNotFoundError(
            "attest.trusted_keys", "no public key to verify with", hint="name one: --key FILE"
        )
    return key_files.load_public_keys(Path(p).expanduser() for p in settings.attest.trusted_keys)


def revoked_keys(settings: Settings) -> frozenset[str]:
    """Return the ids of keys that do not count any more; raises SigningKeyError for what is no id."""
    from scanner.attest.public_keys import check_key_ids  # noqa: PLC0415 - as above

    return check_key_ids(settings.attest.revoked_keys, "attest.revoked_keys")


def predicates(settings: Settings) -> list[Predicate]:
    """Return what is to be stated, in the order of the names.

    Raises:
        SettingsError: there is no such predicate.
    """
    known = discovery.predicates()
    wanted = settings.attest.predicates or tuple(known)
    for name in wanted:
        if name not in known:
            raise SettingsError(
                "attest.predicates", f"{name!r} is none of {', '.join(sorted(known))}"
            )
    return [known[name] for name in dict.fromkeys(wanted)]


def predicate_types(names: Sequence[str]) -> frozenset[str]:
    """Return predicate types by name or URI.

    Raises:
        SettingsError: neither.
    """
    known = discovery.predicates()
    for name in names:
        if name not in known and ":" not in name:
            raise SettingsError(
                "--type", f"{name!r} is no URI and none of {', '.join(sorted(known))}"
            )
    return frozenset(known[name].type if name in known else name for name in names)


def validity(settings: Settings) -> timedelta:
    """Return how long a statement counts."""
    return timedelta(days=settings.attest.valid_days)


def claim_of(store: ReportStore) -> Claim:
    """Return how those who share a store keep out of each other's way beside an image."""
    return partial(store.claim_layer, fingerprint=_CLAIM, wait_seconds=_CLAIM_SECONDS)


def open_repository(settings: Settings, reference: Reference) -> ArtifactRepository:
    """Open the repository of a reference; raises like ``open_artifacts``."""
    from scanner.sources._registry_artifacts import open_artifacts  # noqa: PLC0415 - as above

    return open_artifacts(reference, app.source_options(settings, Path()))


# The service


def is_attesting(settings: Settings) -> bool:
    """Whether the service signs what was scanned: by default, if there is a key to sign with."""
    if settings.attest.enabled == "auto":
        return bool(settings.attest.key) or key_path(settings).exists()
    return settings.attest.enabled == "yes"


def open_service_signer(settings: Settings, passphrase: Passphrase) -> Signer | None:
    """Return what the service signs with; None if it does not. Raises like :func:`open_signer`."""
    if not is_attesting(settings):
        if settings.attest.publish:
            raise SettingsError("attest.publish", "nothing is signed: see attest.enabled")
        return None
    predicates(settings)
    signer, made = open_signer(settings, passphrase)
    extra = {"key_id": signer.key.id, "public_key": signer.key.pem}
    _LOG.info("made a signing key" if made else "signing", extra=extra)
    return signer


async def run_attesting(
    settings: Settings,
    store: SqlServiceStore,
    signer: Signer,
    current: Callable[[], Policy],
    *,
    is_allowed: Callable[[str], bool],
    tell_signed: Callable[[str], None],
    tell_published: Callable[[str], None],
) -> None:
    """Sign what was scanned, have it scanned again in time, and publish it if that is wanted, until cancelled.

    Raises:
        SettingsError: a predicate or rule file is wrong.
        StoreError: the database cannot be opened.
    """
    from scanner.service._signing import Setup  # noqa: PLC0415 - as above
    from scanner.service.attest import run_renewal, run_signing  # noqa: PLC0415
    from scanner.service.attest_publish import run_publishing  # noqa: PLC0415

    chosen, valid = tuple(predicates(settings)), validity(settings)
    fingerprint = await asyncio.to_thread(app.fingerprint, settings)

    def setup() -> Setup:
        return Setup(signer=signer, predicates=chosen, valid=valid, policy=current())

    async with asyncio.TaskGroup() as loops:
        loops.create_task(
            run_signing(store, setup, is_published=settings.attest.publish, tell=tell_signed)
        )
        again = max(valid / _RENEWALS_COUNT, _RENEWED_AGAIN)
        loops.create_task(
            run_renewal(store, store, fingerprint, is_allowed=is_allowed, again=again)
        )
        if settings.attest.publish:
            claims = await asyncio.to_thread(app.open_store, settings)
            try:
                publish = _publisher(settings, signer, chosen, claim_of(claims))
                await run_publishing(
                    store, publish, signer.key.id, is_allowed=is_allowed, tell=tell_published
                )
            finally:
                claims.close()


def _publisher(
    settings: Settings, signer: Signer, chosen: Sequence[Predicate], claim: Claim
) -> Publish:
    """Return what publishes stored statements about one digest, in a thread."""
    from scanner.attest.dsse import parse_envelope  # noqa: PLC0415 - as above
    from scanner.attest.publish import publish_statements  # noqa: PLC0415
    from scanner.attest.statements import DigestStatements, SignedStatement  # noqa: PLC0415

    types = frozenset(one.type for one in chosen)

    def publish(task: PublishingTask, stored: Sequence[StoredStatement]) -> None:
        place = parse_reference(f"{task.registry}/{task.repository}@{task.digest}")
        signed = tuple(
            SignedStatement(one.predicate_type, parse_envelope(one.envelope), one.made_at)
            for one in stored
        )
        whole = DigestStatements(
            digest=parse_digest(task.digest),
            scanned_at=max(one.made_at for one in stored),
            signed=signed,
            withdrawn=types - {one.predicate_type for one in stored},
        )
        with open_repository(settings, place) as repository:
            for done in publish_statements(repository, [whole], signer.key, claim):
                if done.kept:
                    extra = {"digest": done.digest, "registry": task.registry}
                    _LOG.info("older attestations cannot be deleted there", extra=extra)

    return publish
