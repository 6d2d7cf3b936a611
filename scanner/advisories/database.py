"""The local databases, opened for reading: one SQLite file for each unit, never changed, only replaced.

A file holds one row for each package: all its advisories in msgpack, compressed by zstd with a dictionary of the
file's own. Who has a file open keeps reading it when a newer one takes its name.

Source: https://www.sqlite.org/uri.html
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, unquote

import msgspec
import zstandard

from scanner.decoding import decode_json, decode_msgpack
from scanner.errors import StoreError
from scanner.model.advisory import Advisory, Enrichment
from scanner.ports.feed import FileMark

FORMAT: Final = 1
"""Rises when older readers could not read a file, or would read it wrongly."""
SUFFIX: Final = ".advisories"
SCHEMA: Final = (
    "CREATE TABLE about (body BLOB NOT NULL)",
    "CREATE TABLE dictionary (body BLOB NOT NULL)",
    "CREATE TABLE ecosystems (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE packages (ecosystem INTEGER NOT NULL, name TEXT NOT NULL, hash INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE UNIQUE INDEX packages_by_name ON packages (ecosystem, name)",
    "CREATE TABLE enrichments (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
)
_GROUP = tuple[Advisory, ...]
_FILES_COUNT: Final = 1_000
_GROUP_BYTES: Final = 256 * 1024 * 1024
"""All advisories of one package, uncompressed."""
_ABOUT_BYTES: Final = 1024 * 1024
_STAMP_CHARS: Final = 16


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a database holds and where it comes from."""

    unit: str
    feed: str
    source: str
    """URL, directory, file or artifact, without credentials."""
    licence: str
    attribution: str
    fetched_at: str
    """RFC 3339 UTC, when the publisher was last asked."""
    newest_at: str = ""
    """RFC 3339, the latest ``modified`` of all records; empty where the feed does not say."""
    marks: tuple[FileMark, ...] = ()
    records_count: int = 0
    packages_count: int = 0
    ecosystems: dict[str, int] = {}
    """Packages by ecosystem."""
    refused_count: int = 0
    refused: str = ""
    """The first record that could not be read, and why."""
    fetched_bytes: int = 0
    build_seconds: float = 0.0
    content: str = ""
    """Digest of what is in it: the same for the same records, whenever and from wherever they were fetched."""
    scanner_version: str = ""


def unit_path(directory: Path, unit: str) -> Path:
    """Return where the database of a unit is."""
    return directory / f"{quote(unit, safe='')}{SUFFIX}"


def unit_of(path: Path) -> str:
    """Return the unit whose database a file is."""
    return unquote(path.name.removesuffix(SUFFIX))


@contextmanager
def _store_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, zstandard.ZstdError, msgspec.DecodeError) as error:
        raise StoreError(where, f"not readable: {error}"[:300]) from error
    except (UnicodeDecodeError, RecursionError, OverflowError, MemoryError) as error:
        raise StoreError(where, "not readable") from error


class UnitDatabase:
    """One file. Safe for many threads."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            StoreError: it is not there, not ours, broken, or of another format.
        """
        self.path = path
        self._lock = threading.Lock()
        if not path.is_file():
            raise StoreError(str(path), "no such file")
        with _store_errors(str(path)):
            where = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(where, uri=True, check_same_thread=False)
            try:
                self.about, self._decompressor, self._numbers = self._opened()
            except BaseException:
                self._connection.close()
                raise

    def _opened(self) -> tuple[About, zstandard.ZstdDecompressor, dict[str, int]]:
        one = self._connection.execute
        one("PRAGMA trusted_schema=OFF")
        one("PRAGMA cell_size_check=ON")
        (found,) = one("PRAGMA user_version").fetchone()
        schema = [sql for (sql,) in one("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")]  # fmt: skip
        if found != FORMAT or schema != list(SCHEMA):
            raise StoreError(str(self.path), f"not of format {FORMAT}: update it")
        (body,) = one("SELECT body FROM about").fetchone()
        about = decode_json(body[:_ABOUT_BYTES], About)
        (raw,) = one("SELECT body FROM dictionary").fetchone()
        dictionary = zstandard.ZstdCompressionDict(raw) if raw else None
        numbers = dict(one("SELECT name, number FROM ecosystems").fetchall())
        return about, zstandard.ZstdDecompressor(dict_data=dictionary), numbers

    @property
    def ecosystems(self) -> Collection[str]:
        """Every ecosystem that it has data for."""
        return self._numbers.keys()

    def advisories_of(self, ecosystem: str, name: str) -> tuple[Advisory, ...]:
        """Return the advisories of a package; each has only what of ``affected`` is about it."""
        number = self._numbers.get(ecosystem)
        if number is None:
            return ()
        body = self._body("SELECT body FROM packages WHERE ecosystem=? AND name=?", number, name)
        if body is None:
            return ()
        with _store_errors(str(self.path)):
            return decode_msgpack(self._plain(body), _GROUP)

    def enrichment_of(self, vulnerability: str) -> Enrichment | None:
        """Return what is known of an id, or None."""
        body = self._body("SELECT body FROM enrichments WHERE id=?", vulnerability)
        if body is None:
            return None
        with _store_errors(str(self.path)):
            return decode_msgpack(body, Enrichment)

    def hashes(self) -> Iterator[tuple[str, str, int]]:
        """Yield ecosystem, name and hash of each package, ordered by the former two."""
        names = {number: name for name, number in self._numbers.items()}
        with _store_errors(str(self.path)), self._lock:
            rows = self._connection.execute(
                "SELECT ecosystem, name, hash FROM packages ORDER BY ecosystem, name"
            ).fetchall()
        yield from ((names[number], name, hash_) for number, name, hash_ in rows)

    def verify(self, every: int = 1) -> None:
        """Check the file's structure, its counts, and each ``every``-th package; with 1 all that it holds.

        Raises:
            StoreError: it is not what it says to be.
        """
        with _store_errors(str(self.path)), self._lock:
            one = self._connection.execute
            (said,) = one(f"PRAGMA {'quick' if every > 1 else 'integrity'}_check(1)").fetchone()
            (packages,) = one("SELECT count(*) FROM packages").fetchone()
            (enriched,) = one("SELECT count(*) FROM enrichments").fetchone()
        if said != "ok":
            raise StoreError(str(self.path), f"damaged: {said}"[:300])
        if packages != self.about.packages_count or not (packages or enriched):
            raise StoreError(str(self.path), "it does not hold what it says to hold")
        with _store_errors(str(self.path)):
            if every == 1 and self._content() != self.about.content:
                raise StoreError(str(self.path), "damaged: not what its digest says")
            for body, hash_ in self._sample(every):
                plain = self._plain(body)
                if group_hash(plain) != hash_ or not decode_msgpack(plain, _GROUP):
                    raise StoreError(str(self.path), "damaged: a package is not what its hash says")

    def _content(self) -> str:
        names = {number: name for name, number in self._numbers.items()}
        with self._lock:
            return content_digest(self._connection, names)

    def _sample(self, every: int) -> Iterator[tuple[bytes, int]]:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("SELECT body, hash FROM packages WHERE rowid % ? = 0", (every,))
            yield from cursor

    def _body(self, query: str, *values: int | str) -> bytes | None:
        with _store_errors(str(self.path)), self._lock:
            row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _plain(self, body: bytes) -> bytes:
        size = zstandard.frame_content_size(body)
        if not 0 < size <= _GROUP_BYTES:
            raise StoreError(str(self.path), "damaged: a package of impossible size")
        with self._lock:
            return self._decompressor.decompress(body, max_output_size=_GROUP_BYTES)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def group_hash(plain: bytes) -> int:
    """Return 63 bits that change when anything about a package does."""
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest()) >> 1


def content_digest(connection: sqlite3.Connection, names: Mapping[int, str]) -> str:
    """Return the digest of all packages and enrichments; ``names`` are the ecosystems by number."""
    state = hashlib.sha256()
    query = "SELECT name, hash FROM packages WHERE ecosystem=? ORDER BY name"
    for number, ecosystem in sorted(names.items(), key=lambda item: item[1]):
        for name, hash_ in connection.execute(query, (number,)):
            state.update(f"{ecosystem}\0{name}\0{hash_}\0".encode())
    for id_, body in connection.execute("SELECT id, body FROM enrichments ORDER BY id"):
        state.update(b"%b\0%b\0" % (id_.encode(), body))
    return state.hexdigest()


class AdvisoryDatabases:
    """All databases of a directory as they were when it was opened: an ``AdvisoryLookup``."""

    def __init__(self, directory: Path) -> None:
        """Open what is there; ``broken`` says what could not be.

        Raises:
            StoreError: the directory cannot be read.
        """
        self.broken: dict[str, str] = {}
        """Unit -> why its database cannot be used."""
        self.units: dict[str, UnitDatabase] = {}
        for path in database_files(directory):
            unit = unit_of(path)
            try:
                self.units[unit] = UnitDatabase(path)
            except StoreError as error:
                self.broken[unit] = error.reason
        self._by_ecosystem: dict[str, list[UnitDatabase]] = {}
        for one in self.units.values():
            for ecosystem in one.ecosystems:
                self._by_ecosystem.setdefault(ecosystem, []).append(one)
        self._enriching = [u for u in self.units.values() if not u.ecosystems]

    def ecosystems(self) -> Collection[str]:
        """Return every ecosystem that there is data for, with its release."""
        return self._by_ecosystem.keys()

    def advisories_of(self, ecosystem: str, name: str) -> tuple[Advisory, ...]:
        """Return the advisories that name a package, by its normalised name; raises StoreError for a broken file."""
        found: tuple[Advisory, ...] = ()
        for one in self._by_ecosystem.get(ecosystem, ()):
            found += one.advisories_of(ecosystem, name)
        return found

    def enrichment_of(self, vulnerability: str) -> Enrichment:
        """Return what is known of an id beyond its advisories; raises StoreError for a broken file."""
        merged = Enrichment()
        for unit in self._enriching:
            one = unit.enrichment_of(vulnerability)
            if one is not None:
                merged = Enrichment(
                    known_exploited=merged.known_exploited or one.known_exploited,
                    exploit_probability=one.exploit_probability
                    if merged.exploit_probability is None
                    else merged.exploit_probability,
                    scores=merged.scores + one.scores,
                )
        return merged

    def stamp(self) -> str:
        """Return 16 hex digits that change when any content does; empty without a database."""
        if not self.units:
            return ""
        state = hashlib.sha256()
        for unit, one in sorted(self.units.items()):
            state.update(f"{unit}\0{one.about.content}\0".encode())
        return state.hexdigest()[:_STAMP_CHARS]

    def close(self) -> None:
        """Let go of every file."""
        for one in self.units.values():
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def database_files(directory: Path) -> list[Path]:
    """Return the databases in a directory, by name; none if it is not there.

    Raises:
        StoreError: the directory cannot be read.
    """
    try:
        return sorted(directory.glob(f"*{SUFFIX}"))[:_FILES_COUNT]
    except OSError as error:
        raise StoreError(str(directory), error.strerror or "cannot be read") from error


def changed_packages(old: Path | None, new: Path) -> Iterator[tuple[str, str]]:
    """Yield (ecosystem, name) of what is not the same in two databases of a unit: new, gone or changed.

    Raises:
        StoreError: one of them cannot be read.
    """
    before: dict[tuple[str, str], int] = {}
    if old is not None:
        with UnitDatabase(old) as database:
            before = {(e, n): h for e, n, h in database.hashes()}
    with UnitDatabase(new) as database:
        for ecosystem, name, hash_ in database.hashes():
            if before.pop((ecosystem, name), None) != hash_:
                yield ecosystem, name
    yield from before
