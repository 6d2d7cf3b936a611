"""Rows that are due: looked for without a lock, taken for a while, and due again unless their end is told."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, case, literal, select, update

from scanner.store._moments import now_ms

_FIRST_WAIT_MS: Final = 60_000
_LONGEST_WAIT_MS: Final = 3_600_000
_DOUBLINGS: Final = 6


def is_due(connection: Connection, table: Table) -> bool:
    """Whether any row of a table is due."""
    query = select(literal(1)).where(table.c.due_at.is_not(None), table.c.due_at <= now_ms())
    return connection.execute(query.limit(1)).first() is not None


def lease(connection: Connection, table: Table, rows: ColumnElement[bool], now: int) -> None:
    """Make rows due again in a while, later each time, should nobody tell their end."""
    waits = {n: _FIRST_WAIT_MS << n for n in range(_DOUBLINGS)}
    wait = case(waits, value=table.c.attempts, else_=_LONGEST_WAIT_MS)
    later = {"due_at": literal(now, BigInteger) + wait, "attempts": table.c.attempts + 1}
    connection.execute(update(table).where(rows).values(later))
