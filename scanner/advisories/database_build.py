"""Build a unit's database: records in, a file out, in bounded memory.

Records come in any order and are staged on disk, one row for each package that they name; then they are read back
by package. The file is written beside its place, verified and renamed: it is there whole, or the old one stays.

Source: https://www.sqlite.org/lang_createindex.html
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from scanner import __version__
from scanner.advisories.database import (
    FORMAT,
    SCHEMA,
    About,
    UnitDatabase,
    content_digest,
    group_hash,
)
from scanner.advisories.names import normalised_name
from scanner.errors import LimitExceededError, MalformedFileError, StoreError
from scanner.model.advisory import Advisory
from scanner.ports.feed import Enriched, FeedItem, RefusedRecord

_BATCH_COUNT: Final = 500
_DICTIONARY_BYTES: Final = 64 * 1024
_SAMPLES_COUNT: Final = 3_000
_SAMPLES_LEAST: Final = 200
"""Fewer teach nothing."""
_SAMPLE_BYTES: Final = 4 * 1024 * 1024
_LEVEL: Final = 6
_REFUSED_SHARE: Final = 0.001
_DETAILS_LENGTH: Final = 2_000
_AFFECTED_COUNT: Final = 200_000
"""Packages that one advisory may name."""
_PACKED_BYTES: Final = 128 * 1024 * 1024
"""All advisories of one package."""
_VERIFIED_EVERY: Final = 64
_CACHE_KIB: Final = -65_536
_STAGED: Final = "CREATE TABLE staged (ecosystem INTEGER, name TEXT, id TEXT, body BLOB)"


class _Tally:
    """What has been seen of a feed so far."""

    def __init__(self) -> None:
        self.records_count = 0
        self.refused_count = 0
        self.refused = ""
        self.newest_at = ""
        self.ecosystems: dict[str, int] = {}
        self.packages: dict[str, int] = {}

    def number(self, ecosystem: str) -> int:
        return self.ecosystems.setdefault(ecosystem, len(self.ecosystems))

    def refuse(self, one: RefusedRecord) -> None:
        self.refused_count += 1
        self.refused = self.refused or f"{one.where}: {one.reason}"[:500]

    def check(self, unit: str) -> None:
        """Raise MalformedFileError for a feed that is empty, or of which too much cannot be read."""
        if self.refused_count > self.records_count * _REFUSED_SHARE:
            raise MalformedFileError(
                unit, f"{self.refused_count} records cannot be read; the first is {self.refused}"
            )
        if not self.records_count:
            raise MalformedFileError(unit, "there is not a single record")


def build_database(path: Path, items: Iterable[FeedItem], about: About) -> About:
    """Write a database to ``path``, which must not be there yet; return what it says of itself.

    Raises:
        MalformedFileError: no record at all, or more than one in a thousand that cannot be read.
        LimitExceededError: one package with more advisories than can be handled.
        StoreError: the disk is full, or cannot be written.
        InputError: whatever ``items`` raises.
    """
    began = time.monotonic()
    staging = path.with_name(f"{path.name}.staged")
    try:
        with closing(_open(path)) as target, closing(_open(staging)) as staged:
            tally = _stage(items, staged, target)
            tally.check(about.unit)
            content = _pack(staged, target, tally)
            done = _described(about, tally, content, time.monotonic() - began)
            target.execute("INSERT INTO about VALUES (?)", (msgspec.json.encode(done),))
            target.commit()
        with UnitDatabase(path) as database:
            database.verify(_VERIFIED_EVERY)
        _sync(path)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(str(path), f"cannot be written: {error}"[:300]) from error
    finally:
        with suppress(OSError):
            staging.unlink()
    return done


def _described(about: About, tally: _Tally, content: str, seconds: float) -> About:
    return msgspec.structs.replace(
        about,
        records_count=tally.records_count,
        refused_count=tally.refused_count,
        refused=tally.refused,
        newest_at=tally.newest_at,
        packages_count=sum(tally.packages.values()),
        ecosystems={name: tally.packages[name] for name in sorted(tally.packages)},
        content=content,
        build_seconds=round(seconds, 3),
        scanner_version=__version__,
    )


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    for pragma in (
        "journal_mode=OFF",  # nobody reads it before it is whole, and nobody keeps it if it is not
        "synchronous=OFF",
        "locking_mode=EXCLUSIVE",
        f"cache_size={_CACHE_KIB}",
        f"user_version={FORMAT}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _stage(
    items: Iterable[FeedItem], staged: sqlite3.Connection, target: sqlite3.Connection
) -> _Tally:
    """Write what comes to disk as it comes."""
    tally = _Tally()
    for statement in SCHEMA:
        target.execute(statement)
    staged.execute(_STAGED)
    encode = msgspec.msgpack.Encoder().encode
    rows: list[tuple[int, str, str, bytes]] = []
    for item in items:
        if isinstance(item, RefusedRecord):
            tally.refuse(item)
            continue
        tally.records_count += 1
        if isinstance(item, Enriched):
            body = encode(item.enrichment)
            target.execute("INSERT OR REPLACE INTO enrichments VALUES (?, ?)", (item.id, body))
            continue
        tally.newest_at = max(tally.newest_at, item.modified)
        for ecosystem, name, part in _parts(item):
            rows.append((tally.number(ecosystem), name, item.id, encode(part)))
        if len(rows) >= _BATCH_COUNT:
            staged.executemany("INSERT INTO staged VALUES (?, ?, ?, ?)", rows)
            rows.clear()
    staged.executemany("INSERT INTO staged VALUES (?, ?, ?, ?)", rows)
    return tally


def _parts(advisory: Advisory) -> Iterator[tuple[str, str, Advisory]]:
    """Yield what an advisory says of each package: (ecosystem, normalised name, the advisory narrowed to it)."""
    if len(advisory.affected) > _AFFECTED_COUNT:
        seen = len(advisory.affected)
        raise LimitExceededError("advisory_affected", _AFFECTED_COUNT, seen, setting=False)
    grouped: dict[tuple[str, str], list[int]] = {}
    for index, one in enumerate(advisory.affected):
        key = one.ecosystem, normalised_name(one.ecosystem, one.name)
        grouped.setdefault(key, []).append(index)
    details = advisory.details
    if len(details) > _DETAILS_LENGTH:
        details = f"{details[: _DETAILS_LENGTH - 1]}…"
    for (ecosystem, name), indexes in grouped.items():
        affected = tuple(advisory.affected[i] for i in indexes)
        yield (
            ecosystem,
            name,
            msgspec.structs.replace(advisory, details=details, affected=affected),
        )


def _pack(staged: sqlite3.Connection, target: sqlite3.Connection, tally: _Tally) -> str:
    """Write all packages, and return the digest of what they say."""
    staged.execute("CREATE INDEX staged_by_name ON staged (ecosystem, name, id)")
    dictionary = _train(staged)
    raw = dictionary.as_bytes() if dictionary else b""
    target.execute("INSERT INTO dictionary VALUES (?)", (raw,))
    target.executemany(
        "INSERT INTO ecosystems VALUES (?, ?)", [(n, name) for name, n in tally.ecosystems.items()]
    )
    compress = zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary).compress
    names = {number: name for name, number in tally.ecosystems.items()}
    rows: list[tuple[int, str, int, bytes]] = []
    for number, name, plain in _groups(staged):
        hash_ = group_hash(plain)
        tally.packages[names[number]] = tally.packages.get(names[number], 0) + 1
        rows.append((number, name, hash_, compress(plain)))
        if len(rows) >= _BATCH_COUNT:
            target.executemany("INSERT INTO packages VALUES (?, ?, ?, ?)", rows)
            rows.clear()
    target.executemany("INSERT INTO packages VALUES (?, ?, ?, ?)", rows)
    return content_digest(target, names)


def _groups(staged: sqlite3.Connection) -> Iterator[tuple[int, str, bytes]]:
    """Yield each package with its advisories as one msgpack array, the same for the same advisories."""
    rows = staged.execute(
        "SELECT ecosystem, name, body FROM staged ORDER BY ecosystem, name, id, body"
    )
    for (number, name), found in groupby(rows, key=lambda row: (row[0], row[1])):
        bodies = dict.fromkeys(body for _, _, body in found)
        plain = _array_head(len(bodies)) + b"".join(bodies)
        if len(plain) > _PACKED_BYTES:
            raise LimitExceededError("package_advisories_bytes", _PACKED_BYTES, len(plain), setting=False)  # fmt: skip
        yield number, name, plain


def _array_head(count: int) -> bytes:
    """Return the first bytes of a msgpack array.

    Source: https://github.com/msgpack/msgpack/blob/master/spec.md#array-format-family
    """
    return b"\xdd" + count.to_bytes(4)


def _train(staged: sqlite3.Connection) -> zstandard.ZstdCompressionDict | None:
    """Return a dictionary made of records from all over the feed; None for a small one."""
    (count,) = staged.execute("SELECT coalesce(max(rowid), 0) FROM staged").fetchone()
    if count < _SAMPLES_LEAST:
        return None
    step = max(1, count // _SAMPLES_COUNT)
    samples: list[bytes | bytearray | memoryview] = []
    size = 0
    for (body,) in staged.execute(
        "SELECT substr(body, 1, 4096) FROM staged WHERE rowid % ? = 0", (step,)
    ):
        samples.append(body)
        size += len(body)
        if size > _SAMPLE_BYTES:
            break
    try:
        return zstandard.train_dictionary(min(_DICTIONARY_BYTES, size // 8), samples)
    except zstandard.ZstdError:
        return None  # too alike, or too few: it only compresses worse


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
