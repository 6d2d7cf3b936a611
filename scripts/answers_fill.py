"""Fill a store with many digests, quickly: a few real reports are written once, and their rows copied.

Rows are copied as they are, so whatever the tables look like, the copies look like what a scan leaves. Each
gets a digest as random as real ones are. Indexes are made after the rows, as for any bulk load.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import psycopg
from sqlalchemy import Index, Table, create_engine, insert, select
from support.sample_report import sample_report

from scanner.model import ImageReport, Package, ScanReport
from scanner.ports import JobState, ScanRequest
from scanner.store import open_store
from scanner.store._backend import Backend, parse_where
from scanner.store._enqueue import enqueue_many
from scanner.store._images import write_report
from scanner.store._moments import new_id, now_ms
from scanner.store._tables import (
    FINDINGS,
    IMAGE_LAYERS,
    IMAGE_LOCATIONS,
    IMAGE_PACKAGES,
    IMAGE_REPORTS,
    IMAGES,
    SCANS,
    TAGS,
)

FINGERPRINT = "bench"
REGISTRY, REPOSITORY = "registry.example", "team/app"
_TEMPLATES = 20
_PACKAGES, _FINDINGS = 4, 3
_CHUNK = 5_000
_COPIED = (IMAGES, IMAGE_PACKAGES, FINDINGS, IMAGE_LAYERS, IMAGE_LOCATIONS, IMAGE_REPORTS, SCANS, TAGS)  # fmt: skip
_SQLITE_AFTER = ("PRAGMA wal_checkpoint(TRUNCATE)",)
_POSTGRESQL_AFTER = (
    "SELECT setval(pg_get_serial_sequence('images', 'key'), (SELECT max(key) FROM images))",
    "VACUUM ANALYZE",  # what the server does by itself, in time
)


class Filled(NamedTuple):
    """What was made."""

    count: int
    seconds: float


def digest_of_number(number: int) -> str:
    """Return the digest of the image of a number, from 0."""
    return f"sha256:{hashlib.sha256(b'%d' % number).hexdigest()}"


def fill(where: str, count: int) -> Filled:
    """Fill an empty store with ``count`` scanned digests: images, packages, findings, scans, tags, reports."""
    began = time.monotonic()
    open_store(where).close()
    backend = parse_where(where)
    engine = create_engine(backend.url("psycopg" if backend.path is None else "pysqlite"))
    with engine.begin() as connection:
        for number in range(_TEMPLATES):
            _scan_one(connection, number)
    with engine.connect() as connection:
        templates = {table.name: _rows_by_image(connection, table) for table in _COPIED}
    indexes = [index for table in _COPIED for index in table.indexes]
    with engine.begin() as connection:
        for index in indexes:
            index.drop(connection)
    write = _write_sqlite if backend.path is not None else _write_postgresql
    write(backend, templates, count)
    for index in indexes:
        _make(engine, index)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in _SQLITE_AFTER if backend.path is not None else _POSTGRESQL_AFTER:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return Filled(count, time.monotonic() - began)


def _make(engine: Any, index: Index) -> None:
    with engine.begin() as connection:
        index.create(connection)


def _report(number: int) -> ScanReport:
    sample = sample_report()
    main = sample.images[0]
    packages = tuple(
        Package(
            purl_type="deb",
            namespace="debian",
            name=f"package-{(number + n) % 30}",
            version=f"1.{number}",
            path="var/lib/dpkg/status",
            from_distribution=True,
        )
        for n in range(_PACKAGES)
    )
    image: ImageReport = msgspec.structs.replace(
        main,
        digest=digest_of_number(number),
        packages=packages,
        findings=main.findings[-_FINDINGS:],
    )
    return msgspec.structs.replace(
        sample,
        digest=image.digest,
        images=(image,),
        state=image.state,
        fingerprint=FINGERPRINT,
        reference=f"{REGISTRY}/{REPOSITORY}@{image.digest}",
        skipped=(),
    )


def _scan_one(connection: Any, number: int) -> None:
    report = _report(number)
    request = ScanRequest(registry=REGISTRY, repository=REPOSITORY, digest=report.digest)
    enqueue_many(connection, [request], FINGERPRINT)
    write_report(connection, report, at_ms=now_ms(), registry=REGISTRY, repository=REPOSITORY)
    ended = {"state": JobState.COMPLETE.value, "finished_at": now_ms(), "fingerprint": FINGERPRINT}
    connection.execute(SCANS.update().where(SCANS.c.digest == report.digest).values(ended))
    tag = {"registry": REGISTRY, "repository": REPOSITORY, "tag": f"v{number}"}
    now = {"id": new_id(), "seen_at": now_ms(), "digest": report.digest}
    connection.execute(insert(TAGS).values(**tag, **now))


def _rows_by_image(connection: Any, table: Table) -> list[list[dict[str, Any]]]:
    """Return the rows of each template in a table."""
    keys = {
        row.digest: row.key for row in connection.execute(select(IMAGES.c.digest, IMAGES.c.key))
    }
    found: list[list[dict[str, Any]]] = [[] for _ in range(_TEMPLATES)]
    numbers = {digest_of_number(n): n for n in range(_TEMPLATES)}
    by_key = {keys[digest]: number for digest, number in numbers.items()}
    for row in connection.execute(select(table)):
        values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
        number = by_key[values["image_key"]] if "image_key" in values else numbers[values["digest"]]
        found[number].append(values)
    return found


def _copies(
    table: Table, templates: list[list[dict[str, Any]]], count: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of images ``_TEMPLATES`` to ``count``; an image's key is its number and one."""
    names = [column.name for column in table.c]
    for number in range(_TEMPLATES, count):
        digest = digest_of_number(number)
        for values in templates[number % _TEMPLATES]:
            own: dict[str, Any] = {"key": number + 1, "image_key": number + 1, "digest": digest}
            if table is SCANS:
                own |= {"id": new_id(), "dedupe_key": hashlib.sha256(digest.encode()).hexdigest()}
            elif table is TAGS:
                own |= {"id": new_id(), "tag": f"v{number}"}
            yield tuple(own.get(name, values[name]) for name in names)


def _write_sqlite(backend: Backend, templates: dict[str, Any], count: int) -> None:
    connection = sqlite3.connect(str(backend.path), isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    for table in _COPIED:
        places = ", ".join("?" for _ in table.c)
        statement = f"INSERT INTO {table.name} VALUES ({places})"  # noqa: S608 - our own tables
        rows = _copies(table, templates[table.name], count)
        while chunk := list(itertools.islice(rows, _CHUNK)):
            connection.execute("BEGIN")
            connection.executemany(statement, chunk)
            connection.execute("COMMIT")
    connection.close()


def _write_postgresql(backend: Backend, templates: dict[str, Any], count: int) -> None:
    with psycopg.connect(backend.dsn) as connection:
        for table in _COPIED:
            names = ", ".join(f'"{column.name}"' for column in table.c)
            with connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                for row in _copies(table, templates[table.name], count):
                    copy.write_row(row)
