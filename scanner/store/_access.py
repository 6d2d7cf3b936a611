"""Who spoke to us and who may: webhook deliveries and tokens."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, or_, select, update

from scanner.ports.service import Delivery, Page, TokenRecord
from scanner.store._cursor import Id, bounded, page_of, read_cursor, write_cursor
from scanner.store._dialect import clean, inserting
from scanner.store._moments import from_ms, new_id, now_ms, to_ms
from scanner.store._tables import DELIVERIES, TOKENS
from scanner.store._values import sha256_of

_PLACE = tuple[str, Id]
_TOKEN_MARK: Final = "scn_"  # noqa: S105 - by which secret scanners and people know one
_TOKEN_BYTES: Final = 32
_PREFIX_CHARS: Final = 10
_DETAIL_CHARS: Final = 1_000
USED_EVERY_MS: Final = 60_000
"""How exact ``last_used_at`` is."""


def record_deliveries(connection: Connection, deliveries: Sequence[Delivery]) -> list[bool]:
    """Record deliveries; False for those recorded before, be it in this call."""
    now = now_ms()
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    places = [(clean(one.source, 64), sha256_of(one.event_id)) for one in deliveries]
    for place, one in zip(places, deliveries, strict=True):
        if place not in rows:
            rows[place] = {
                "id": new_id(),
                "source": place[0],
                "dedupe_key": place[1],
                "received_at": now,
                "outcome": clean(one.outcome, 32),
                "detail": clean(one.detail, _DETAIL_CHARS),
            }
    if not rows:
        return []
    statement = inserting(connection)(DELIVERIES)
    statement = statement.on_conflict_do_nothing(index_elements=["source", "dedupe_key"])
    in_order = [
        rows[place] for place in sorted(rows)
    ]  # so that none waits for one that waits for it
    found = connection.execute(
        statement.returning(DELIVERIES.c.source, DELIVERIES.c.dedupe_key), in_order
    )
    new = {(row.source, row.dedupe_key) for row in found}
    answers = []
    for place in places:
        answers.append(place in new)
        new.discard(place)
    return answers


def deliveries(connection: Connection, *, source: str, after: str, limit: int) -> Page[Delivery]:
    """Return deliveries, newest first; of an event's name only the hash is known."""
    start, limit = read_cursor(after, "deliveries", _PLACE), bounded(limit)
    query = select(DELIVERIES).order_by(DELIVERIES.c.id.desc()).limit(limit + 1)
    if source:
        query = query.where(DELIVERIES.c.source == clean(source))
    if start is not None:
        query = query.where(DELIVERIES.c.id < start[1])
    rows = connection.execute(query).all()
    return page_of(
        rows,
        limit,
        lambda row: Delivery(
            source=row.source,
            event_id=row.dedupe_key,
            outcome=row.outcome,
            detail=row.detail,
            received_at=from_ms(row.received_at),
        ),
        lambda row: write_cursor("deliveries", row.id),
    )


def create_token(
    connection: Connection, name: str, scopes: Collection[str], *, expires_at: datetime | None
) -> tuple[str, TokenRecord]:
    """Return a new token's text, which only its hash is kept of, and its record."""
    token = _TOKEN_MARK + secrets.token_urlsafe(_TOKEN_BYTES)
    row = {
        "id": new_id(),
        "name": clean(name, 255),
        "scopes": clean(" ".join(sorted(set(scopes))), 255),
        "prefix": token[:_PREFIX_CHARS],
        "secret_hash": sha256_of(token),
        "created_at": now_ms(),
        "expires_at": None if expires_at is None else to_ms(expires_at),
        "revoked_at": None,
        "last_used_at": None,
    }
    connection.execute(insert(TOKENS), row)
    made = connection.execute(select(TOKENS).where(TOKENS.c.id == row["id"])).one()
    return token, _token_record(made)


def load_token(connection: Connection, token_hash: str) -> TokenRecord | None:
    """Return the token with this hash, if it is neither revoked nor expired."""
    query = select(TOKENS).where(
        TOKENS.c.secret_hash == clean(token_hash),
        TOKENS.c.revoked_at.is_(None),
        or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > now_ms()),
    )
    row = connection.execute(query).first()
    return None if row is None else _token_record(row)


def mark_used(connection: Connection, token_id: str) -> None:
    """Note that a token was used now."""
    connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(last_used_at=now_ms()))


def revoke_token(connection: Connection, token_id: str) -> bool:
    """Revoke a token; False if it is unknown or was revoked before."""
    one = update(TOKENS).where(TOKENS.c.id == clean(token_id), TOKENS.c.revoked_at.is_(None))
    return connection.execute(one.values(revoked_at=now_ms())).rowcount > 0


def tokens(connection: Connection) -> list[TokenRecord]:
    """Return all tokens, oldest first."""
    return [_token_record(row) for row in connection.execute(select(TOKENS).order_by(TOKENS.c.id))]


def _token_record(row: Row[Any]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        name=row.name,
        scopes=frozenset(row.scopes.split()),
        prefix=row.prefix,
        created_at=from_ms(row.created_at),
        expires_at=_moment(row.expires_at),
        revoked_at=_moment(row.revoked_at),
        last_used_at=_moment(row.last_used_at),
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
