"""The composition root of attestations: from settings to keys, predicates and repositories."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scanner import app, discovery
from scanner.config import Settings
from scanner.errors import KeyNotFoundError, RevokedKeyError, SettingsError, SigningKeyError
from scanner.model import Reference
from scanner.ports import ReportStore
from scanner.ports.attest import Predicate

if TYPE_CHECKING:
    from scanner.attest.private_keys import Passphrase, Signer
    from scanner.attest.public_keys import VerificationKey
    from scanner.attest.publish import Claim
    from scanner.sources._registry_artifacts import ArtifactRepository

_KEY_FILE: Final = "signing.key"
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
