"""What the two databases spell differently, and texts as both can keep them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import sqlite

CHUNK_ROWS: Final = 1_000


def clean(text: str, longest_chars: int | None = None) -> str:
    """Return a text that both databases take: NUL and lone surrogates replaced, cut to a length.

    PostgreSQL's text holds no NUL, and no database takes half a surrogate pair; images bring both.
    """
    cut = text if longest_chars is None else text[:longest_chars]
    if cut.isascii():
        return cut.replace("\0", "\ufffd")
    return cut.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def inserting(connection: Connection) -> Callable[[Table], sqlite.Insert]:
    """Return the database's own ``insert``, which has ``on_conflict_do_…``: both spell it alike."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - not needed for SQLite

    return postgresql.insert  # type: ignore[return-value]


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str] = (),
) -> None:
    """Insert rows of the same columns, or replace those with the same ``key`` (else primary key)."""
    names = list(key) or [column.name for column in table.primary_key]
    statement = inserting(connection)(table)
    others = {name: statement.excluded[name] for name in rows[0] if name not in names}
    connection.execute(statement.on_conflict_do_update(index_elements=names, set_=others), rows)
