"""Databases of advisories to and from a registry: signed when they are pushed, proven when they are pulled."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scanner import app_advisories, app_attest
from scanner.config import Settings
from scanner.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    LimitExceededError,
    NotFoundError,
    StoreError,
    UnverifiedError,
)
from scanner.model import Descriptor, Digest, Reference, parse_reference

if TYPE_CHECKING:
    from scanner.advisories.database import About
    from scanner.advisories.update import Updated
    from scanner.attest.private_keys import Signer
    from scanner.sources._registry_artifacts import ArtifactRepository

SCHEME: Final = "oci://"
_CHUNK_BYTES: Final = 1024 * 1024
_PULLING: Final = "pull"
_WAIT_SECONDS: Final = 600.0


def parse_artifact(text: str) -> Reference:
    """Return where an artifact is: ``oci://registry/repository[:tag][@digest]``.

    Raises:
        InvalidReferenceError: it has another form.
    """
    if not text.startswith(SCHEME):
        raise InvalidReferenceError(text[:200], "expected oci://registry/repository[:tag][@digest]")
    return parse_reference(text.removeprefix(SCHEME))


def push(
    settings: Settings, where: Reference, ecosystems: Sequence[str], signer: Signer
) -> tuple[Digest, Mapping[str, About]]:
    """Push the databases, sign a statement about what they are, and tag them; return digest and what was pushed.

    Raises:
        InvalidReferenceError: the reference has a digest: what is pushed gets its own.
        StoreError: there are none, or one is broken.
        UpstreamError: the registry does not take them; also its subclasses.
    """
    from scanner.advisories import artifact, exchange  # noqa: PLC0415 - costs too much for --help
    from scanner.advisories.database import UnitDatabase  # noqa: PLC0415

    if where.digest:
        raise InvalidReferenceError(
            str(where), "push to a tag: the digest is that of what is pushed"
        )
    units = [app_advisories.unit_of(settings, one) for one in ecosystems]
    files = exchange.exported_files(app_advisories.directory(settings), units)
    layers: dict[str, tuple[Digest, int, About]] = {}
    with app_attest.open_repository(settings, where) as repository:
        for file in files:
            with UnitDatabase(file) as database:
                database.verify()
                about = database.about
            digest = repository.push_file(file)
            layers[about.unit] = (digest, file.stat().st_size, about)
        repository.push_blob(artifact.EMPTY)
        manifest = artifact.encode_manifest(layers)
        abouts = {unit: about for unit, (_, _, about) in layers.items()}
        digest = _publish(repository, where, manifest, abouts, signer)
    return digest, abouts


def _publish(
    repository: ArtifactRepository,
    where: Reference,
    manifest: bytes,
    abouts: Mapping[str, About],
    signer: Signer,
) -> Digest:
    """Push manifest and signed statement, and only then the tag: whoever pulls it finds the proof."""
    from scanner.advisories import artifact  # noqa: PLC0415 - as above
    from scanner.attest.publish import publish  # noqa: PLC0415
    from scanner.attest.statement import encode_statement  # noqa: PLC0415
    from scanner.attest.statements import SignedStatement, sign_payload  # noqa: PLC0415
    from scanner.model import digest_of  # noqa: PLC0415

    digest = digest_of(manifest)
    repository.push_manifest(digest, manifest, artifact.MANIFEST_TYPE)
    payload = encode_statement(
        where.name, digest, artifact.PREDICATE_TYPE, artifact.predicate_of(abouts)
    )
    now = datetime.now(UTC)
    signed = SignedStatement(artifact.PREDICATE_TYPE, sign_payload(payload, signer), now)
    subject = Descriptor(media_type=artifact.MANIFEST_TYPE, digest=digest, size=len(manifest))
    publish(repository, subject, [signed], withdrawn=(), scanned_at=now, key=signer.key)
    repository.push_manifest(where.tag, manifest, artifact.MANIFEST_TYPE)
    return digest


def pull(
    settings: Settings,
    where: Reference,
    ecosystems: Sequence[str] = (),
    *,
    may_shrink: bool = False,
) -> Iterator[Updated | app_advisories.Failed]:
    """Take in the databases of an artifact; yield what became of each.

    They count only if one of ``attest.trusted_keys`` has signed them, or if the reference names their digest and there
    are no such keys.

    Raises:
        KeyNotFoundError: neither keys nor a digest.
        UnverifiedError: none of the keys has signed them.
        UpstreamError, InputError, StoreError: they cannot be had, or not be kept.
    """
    from scanner.advisories import artifact  # noqa: PLC0415 - as above
    from scanner.advisories.database import unit_path  # noqa: PLC0415

    keys = () if where.digest and not settings.attest.trusted_keys else app_attest.trusted_keys(settings)  # fmt: skip
    directory = app_advisories.directory(settings)
    units = [app_advisories.unit_of(settings, one) for one in ecosystems]
    with app_attest.open_repository(settings, where) as repository:
        stored = repository.manifest(where.digest or where.tag)
        if stored is None:
            raise NotFoundError(repository.host, "pull", f"there is no {where}")
        if keys:
            _verify(settings, repository, stored.digest)
        layers = artifact.parse_manifest(stored.content)
        missing = [unit for unit in units if unit not in layers]
        if missing:
            raise StoreError(str(where), f"no data of {', '.join(missing)}")
        with _work_directory(directory) as work:
            for unit in units or layers:
                file = unit_path(work, unit)
                _fetch(settings, repository, layers[unit], file)
                source = f"{SCHEME}{where.name}@{stored.digest}"
                yield from app_advisories.import_databases(
                    settings, file, may_shrink=may_shrink, source=source
                )
                file.unlink()


@contextmanager
def _work_directory(directory: Path) -> Iterator[Path]:
    """Give a directory to pull to; one pull at a time, so that what killed ones left can go."""
    from scanner.advisories.update import hold  # noqa: PLC0415 - as above

    with hold(directory, _PULLING, _WAIT_SECONDS) as is_held:
        if not is_held:
            raise StoreError(str(directory), "another process pulls")
        for path in directory.glob("pull-*"):
            shutil.rmtree(path, ignore_errors=True)
        try:
            work = tempfile.TemporaryDirectory(prefix="pull-", dir=directory)
        except OSError as error:
            raise StoreError(str(directory), error.strerror or "cannot be written") from error
        with work as name:
            yield Path(name)


def _verify(settings: Settings, repository: ArtifactRepository, digest: Digest) -> None:
    from scanner.advisories import artifact  # noqa: PLC0415 - as above
    from scanner.attest.fetch import verify_from_registry  # noqa: PLC0415
    from scanner.attest.verify import Demand  # noqa: PLC0415

    demand = Demand(
        digest=digest,
        keys=app_attest.trusted_keys(settings),
        types=frozenset({artifact.PREDICATE_TYPE}),
        now=datetime.now(UTC),
        revoked=app_attest.revoked_keys(settings),
    )
    found = verify_from_registry(repository, demand, {})
    if not found.proofs:
        reasons = "; ".join(f"{r.where}: {r.reason}" for r in found.refused[:3])
        raise UnverifiedError(digest, reasons or "nobody has signed it")


def _fetch(
    settings: Settings, repository: ArtifactRepository, descriptor: Descriptor, target: Path
) -> None:
    allowed = settings.advisories.file_bytes
    if descriptor.size > allowed:
        raise LimitExceededError("advisories.file_bytes", allowed, descriptor.size, setting=False)
    state = hashlib.sha256()
    blob = repository.open_blob(descriptor)
    try:
        with target.open("wb") as file:
            while chunk := blob.read(_CHUNK_BYTES):
                state.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise StoreError(str(target), error.strerror or "cannot be written") from error
    finally:
        blob.close()
    actual = f"sha256:{state.hexdigest()}"
    if actual != descriptor.digest:
        raise DigestMismatchError("blob", descriptor.digest, actual)
