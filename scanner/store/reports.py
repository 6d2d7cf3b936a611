"""Layer and image reports in the database, and the claims that keep work from being done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Engine, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError

from scanner.model import ImageReport, LayerReport, ScanReport
from scanner.store._backend import Backend, parse_where
from scanner.store._claims import claim
from scanner.store._codec import pack, unpack
from scanner.store._database import open_database, writer
from scanner.store._dialect import clean, upsert
from scanner.store._errors import store_errors
from scanner.store._tables import IMAGE_REPORTS, LAYER_REPORTS

_Report = TypeVar("_Report", bound=msgspec.Struct)


class SqlStore:
    """A ``scanner.ports.ReportStore``; every method raises ``StoreError`` only."""

    def __init__(self, engine: Engine, backend: Backend) -> None:
        """Use :func:`open_store`."""
        self._engine = engine
        self._writer = writer(engine)
        self._claim, self._close_claims = _claims_of(backend)
        self._where = backend.shown

    def load_layer(self, digest: str, fingerprint: str) -> LayerReport | None:
        """Return the stored report, or None."""
        return self._load(LAYER_REPORTS, digest, fingerprint, LayerReport)

    def save_layer(self, report: LayerReport, fingerprint: str) -> None:
        """Store a layer's report; the first one stored wins."""
        values = _row(report.digest, fingerprint, report)
        with store_errors(self._where):
            try:
                with self._writer.begin() as connection:
                    connection.execute(insert(LAYER_REPORTS).values(values))
            except IntegrityError:
                pass  # somebody was first

    def load_image(
        self, digest: str, fingerprint: str, *, not_before: datetime | None = None
    ) -> ImageReport | None:
        """Return the stored report of a manifest digest, or None if there is none or only an older one."""
        return self._load(IMAGE_REPORTS, digest, fingerprint, ImageReport, not_before)

    def save_image(self, report: ImageReport, fingerprint: str, reference: str) -> None:
        """Store or replace an image's report."""
        values = {**_row(report.digest, fingerprint, report), "reference": clean(reference, 1_024)}
        with store_errors(self._where), self._writer.begin() as connection:
            upsert(connection, IMAGE_REPORTS, [values])

    def record_scan(self, report: ScanReport, *, is_whole: bool = True) -> bool:
        """Make what a scan found known by its digests, as a scan of the service does.

        False: nothing was stored, because its images have no digest that a registry knows them by (a file
        system, a saved archive). ``is_whole`` is False where some platforms of an index only were asked for.
        """
        from scanner.store._record import has_digests, record_own  # noqa: PLC0415 - 10 ms, not for each scan

        if not has_digests(report):
            return False
        with store_errors(self._where):
            record_own(self._engine, report, is_whole=is_whole)
        return True

    @contextmanager
    def claim_layer(self, digest: str, fingerprint: str, *, wait_seconds: float) -> Iterator[bool]:
        """Claim the right to compute one layer's report; see ``scanner.ports.ReportStore``."""
        held = self._claim("layer", digest, fingerprint, wait_seconds=wait_seconds)
        with store_errors(self._where):
            claimed = held.__enter__()
        try:
            yield claimed
        finally:
            held.__exit__(None, None, None)

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._close_claims()
        self._engine.dispose()

    def _load(
        self,
        table: Table,
        digest: str,
        fingerprint: str,
        kind: type[_Report],
        not_before: datetime | None = None,
    ) -> _Report | None:
        query = select(table.c.report).where(*_is(table, digest, fingerprint))
        if not_before is not None:
            query = query.where(table.c.created_at >= _text(not_before))
        with store_errors(self._where):
            with self._engine.connect() as connection:
                data = connection.execute(query).scalar()
            if data is None:
                return None
            report = unpack(data, kind)
            if report is None:  # damaged, or of another version: as good as absent
                self._drop(table, digest, fingerprint, data)
            return report

    def _drop(self, table: Table, digest: str, fingerprint: str, data: bytes) -> None:
        """Delete a row unless somebody has replaced it meanwhile."""
        with self._writer.begin() as connection:
            connection.execute(
                delete(table).where(*_is(table, digest, fingerprint), table.c.report == data)
            )


def _is(table: Table, digest: str, fingerprint: str) -> tuple[ColumnElement[bool], ...]:
    return (table.c.digest == digest, table.c.fingerprint == fingerprint)


def _row(digest: str, fingerprint: str, report: msgspec.Struct) -> dict[str, object]:
    return {
        "digest": digest,
        "fingerprint": fingerprint,
        "report": pack(report),
        "created_at": _text(datetime.now(UTC)),
    }


def _text(moment: datetime) -> str:
    """Return a moment so that texts compare as moments do."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class _Claim(Protocol):
    def __call__(self, *names: str, wait_seconds: float) -> AbstractContextManager[bool]: ...


def _claims_of(backend: Backend) -> tuple[_Claim, Callable[[], None]]:
    """Return how layers are claimed, and what is to be called in the end."""
    if backend.locks is not None:
        return partial(claim, backend.locks), lambda: None
    from scanner.store import _postgresql  # noqa: PLC0415 - the driver costs 0.1 s

    engine = _postgresql.engine_on(backend, autocommit=True)
    return partial(_postgresql.claim, engine), engine.dispose


def open_store(where: str | Path) -> SqlStore:
    """Open the store in a directory (or file, or ``sqlite:///file``), or at a ``postgresql://`` URL.

    What is not there is made: the directory with mode 0700, the database file 0600, the tables. Many
    processes may open one store at once; those of PostgreSQL on many machines.

    Raises:
        StoreError: it cannot be opened or made, is damaged, or a newer scanner made it; ``hint`` says more.
    """
    backend = parse_where(where)
    return SqlStore(open_database(backend), backend)
