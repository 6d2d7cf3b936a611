"""Signed statements, what is still to be signed, and where it is published.

Each scan leaves, in its own transaction, a row that says so: nothing is forgotten, whoever is killed when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import zstandard
from sqlalchemy import ColumnElement, Connection, Row, delete, select, update

from scanner.ports.attestations import (
    Publication,
    PublicationState,
    Signed,
    SigningTask,
    StoredAttestations,
    StoredStatement,
)
from scanner.store._cursor import bounded
from scanner.store._dialect import clean, inserting, upsert
from scanner.store._due import is_due, lease
from scanner.store._moments import from_ms, new_id, now_ms, to_ms
from scanner.store._publications import ask_publications
from scanner.store._tables import ATTESTATIONS, ATTESTED_IMAGES, IMAGES, PUBLICATIONS

_ERROR_CHARS: Final = 2_000
_ENVELOPE_BYTES: Final = 256 * 1024 * 1024
"""Longest that is taken out of its frame."""


def ask(connection: Connection, image_keys: Iterable[int]) -> None:
    """Have the statements about images looked at, now."""
    now = now_ms()
    rows = [
        {
            "image_key": key,
            "asked_id": new_id(),
            "due_at": now,
            "attempts": 0,
            "setup": "",
            "basis": "",
            "error_code": "",
            "error": "",
        }
        for key in sorted(image_keys)
    ]
    if not rows:
        return
    statement = inserting(connection)(ATTESTED_IMAGES)
    asked = {name: statement.excluded[name] for name in ("asked_id", "due_at", "attempts")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["image_key"], set_=asked), rows
    )


# Signing


def is_signing_due(connection: Connection) -> bool:
    """Whether :func:`signing_tasks` would return any."""
    return is_due(connection, ATTESTED_IMAGES)


def signing_tasks(connection: Connection, limit: int) -> list[SigningTask]:
    """Return images whose statements are to be looked at, and make each due again in a while."""
    now = now_ms()
    asked = ATTESTED_IMAGES.c
    due = (
        select(
            *(asked.image_key, asked.asked_id, asked.attempts, asked.basis),
            *(IMAGES.c.digest, IMAGES.c.scanned_at, IMAGES.c.report_fingerprint),
        )
        .join(IMAGES, IMAGES.c.key == asked.image_key)
        .where(asked.due_at.is_not(None), asked.due_at <= now)
        .order_by(asked.due_at)
        .limit(bounded(limit))
        .with_for_update(skip_locked=True, of=ATTESTED_IMAGES)
    )
    rows = connection.execute(due).all()
    if rows:
        keys = [row.image_key for row in rows]
        lease(connection, ATTESTED_IMAGES, asked.image_key.in_(keys), now)
    return [
        SigningTask(
            image_key=row.image_key,
            digest=row.digest,
            scanned_at=from_ms(row.scanned_at),
            report_fingerprint=row.report_fingerprint,
            asked_id=row.asked_id,
            attempts=row.attempts,
            basis=row.basis,
        )
        for row in rows
    ]


def outdated(
    connection: Connection, setup: str, before: datetime, *, after_key: int, limit: int
) -> list[int]:
    """Return the keys of images that were signed before a moment with another setup."""
    asked = ATTESTED_IMAGES.c
    query = (
        select(asked.image_key)
        .where(asked.image_key > after_key, asked.setup != setup, asked.signed_at < to_ms(before))
        .order_by(asked.image_key)
        .limit(bounded(limit))
    )
    return list(connection.scalars(query))


def record_signed(
    connection: Connection, task: SigningTask, signed: Signed, *, is_published: bool
) -> bool:
    """Store what was signed; see ``scanner.ports.AttestationStore``."""
    now = now_ms()
    again, renew = signed.look_again_at, signed.renew_at
    values = {
        "due_at": None if again is None else to_ms(again),
        "renew_at": None if renew is None else to_ms(renew),
        "attempts": 0,
        "setup": signed.setup,
        "basis": signed.basis,
        "signed_at": now,
        "error_code": "",
        "error": "",
    }
    ours = update(ATTESTED_IMAGES).where(*_is_asked(task)).values(values)
    if not connection.execute(ours).rowcount:
        return False
    if signed.statements is not None:
        _replace(connection, task.image_key, signed.key_id, signed.statements, now)
    if is_published and signed.statements != ():
        ask_publications(connection, task.image_key, now, is_new=signed.statements is not None)
    return True


def _is_asked(task: SigningTask) -> tuple[ColumnElement[bool], ...]:
    columns = ATTESTED_IMAGES.c
    return (columns.image_key == task.image_key, columns.asked_id == task.asked_id)


def _replace(
    connection: Connection,
    image_key: int,
    key_id: str,
    statements: Sequence[StoredStatement],
    now: int,
) -> None:
    """Write what a key states of an image. What it stated before goes, and what others did once that has expired.

    Where nothing is stated, what was stated before is left to expire.
    """
    of_image = ATTESTATIONS.c.image_key == image_key
    connection.execute(delete(ATTESTATIONS).where(of_image, ATTESTATIONS.c.expires_at < now))
    if not statements:
        return
    connection.execute(delete(ATTESTATIONS).where(of_image, ATTESTATIONS.c.key_id == key_id))
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    rows = [
        {
            "image_key": image_key,
            "predicate_type": clean(one.predicate_type, 255),
            "key_id": one.key_id,
            "made_at": to_ms(one.made_at),
            "expires_at": to_ms(one.expires_at),
            "signed_at": now,
            "envelope": compressor.compress(one.envelope),
        }
        for one in statements
    ]
    upsert(connection, ATTESTATIONS, rows)


def record_unsigned(connection: Connection, task: SigningTask, code: str, reason: str) -> None:
    """Note why nothing could be signed; it is due again already."""
    values = {"error_code": clean(code, 64), "error": clean(reason, _ERROR_CHARS)}
    connection.execute(update(ATTESTED_IMAGES).where(*_is_asked(task)).values(values))


# Answers


def attestations(
    connection: Connection, digest: str, *, types: Collection[str], with_envelopes: bool
) -> StoredAttestations:
    """Return what is signed about a digest."""
    is_it = IMAGES.c.digest == clean(digest)
    asked = select(ATTESTED_IMAGES).join(IMAGES, IMAGES.c.key == ATTESTED_IMAGES.c.image_key)
    row = connection.execute(asked.where(is_it)).first()
    columns = [c for c in ATTESTATIONS.c if with_envelopes or c.name != "envelope"]
    stated = (
        select(*columns)
        .join(IMAGES, IMAGES.c.key == ATTESTATIONS.c.image_key)
        .where(is_it)
        .order_by(ATTESTATIONS.c.predicate_type, ATTESTATIONS.c.key_id)
    )
    if types:
        stated = stated.where(ATTESTATIONS.c.predicate_type.in_([clean(one) for one in types]))
    places = (
        select(PUBLICATIONS)
        .join(IMAGES, IMAGES.c.key == PUBLICATIONS.c.image_key)
        .where(is_it)
        .order_by(PUBLICATIONS.c.registry, PUBLICATIONS.c.repository)
    )
    return StoredAttestations(
        statements=tuple(_statement(one, digest) for one in connection.execute(stated)),
        publications=tuple(map(_publication, connection.execute(places))),
        signed_at=_moment(row.signed_at) if row else None,
        error_code=row.error_code if row else "",
        error=row.error if row else "",
    )


def _statement(row: Row[Any], digest: str) -> StoredStatement:
    packed = row._mapping.get("envelope")  # noqa: SLF001 - SQLAlchemy's public name for it
    return StoredStatement(
        digest=digest,
        predicate_type=row.predicate_type,
        key_id=row.key_id,
        made_at=from_ms(row.made_at),
        expires_at=from_ms(row.expires_at),
        signed_at=from_ms(row.signed_at),
        envelope=packed or b"",
    )


def unpacked(found: StoredAttestations) -> StoredAttestations | None:
    """Return statements with their envelopes out of their frames; None if one is damaged."""
    decompressor = zstandard.ZstdDecompressor()
    try:
        statements = tuple(
            msgspec.structs.replace(
                one,
                envelope=decompressor.decompress(one.envelope, max_output_size=_ENVELOPE_BYTES),
            )
            for one in found.statements
        )
    except zstandard.ZstdError:
        return None
    return msgspec.structs.replace(found, statements=statements)


def _publication(row: Row[Any]) -> Publication:
    return Publication(
        registry=row.registry,
        repository=row.repository,
        state=PublicationState(row.state),
        attempts=row.attempts,
        published_at=_moment(row.published_at),
        next_at=_moment(row.due_at),
        error_code=row.error_code,
        error=row.error,
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
