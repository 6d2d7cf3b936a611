"""Rows of ``scans`` as values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from scanner.decoding import decode_json
from scanner.ports.service import JobState, ScanRecord
from scanner.store._moments import from_ms


def scan_record(row: Row[Any]) -> ScanRecord:
    """Return a whole row of ``scans`` as a record."""
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    record: dict[str, Any] = {name: values[name] for name in _SAME}
    for name in ("created_at", "not_before_at"):
        record[name] = from_ms(values[name])
    for name in ("started_at", "finished_at"):
        record[name] = None if values[name] is None else from_ms(values[name])
    return ScanRecord(
        state=JobState(values["state"]),
        platforms=tuple(filter(None, values["platforms"].split(","))),
        progress=decode_json(values["progress"], dict[str, Any]),
        **record,
    )


_OTHERWISE = {"state", "platforms", "progress"}
_MOMENTS = {"created_at", "not_before_at", "started_at", "finished_at"}
_SAME = tuple(
    name for name in ScanRecord.__struct_fields__ if name not in _OTHERWISE and name not in _MOMENTS
)
