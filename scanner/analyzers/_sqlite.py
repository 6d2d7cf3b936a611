"""Read a hostile SQLite database from memory, with the write-ahead log that lies beside it.

The log may come from another layer than the database, so it is replayed here instead of by SQLite,
which would want both as files.

Source: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from scanner.errors import MalformedFileError, UnsupportedError

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_WAL_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}
"""The log's magic tells the byte order of its checksums; all else is big endian."""
_WAL_VERSION: Final = 3_007_000
_WAL_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")
_PAGE_SIZES: Final = frozenset(1 << bits for bits in range(9, 17))
_MASK: Final = 0xFFFFFFFF

_STEP_INSTRUCTIONS: Final = 100_000
_STEPS_COUNT: Final = 1_000
"""Together 10**8 instructions: a hundred times what a database of 10,000 packages needs."""
_LEAST_VALUE_BYTES: Final = 1024 * 1024
"""A value cannot be longer than the database; statements and the schema count as values too."""


def replay_wal(database: bytes, wal: bytes, path: str, *, database_bytes: int) -> bytes:
    """Return ``database`` with every committed transaction of ``wal`` applied.

    Like SQLite, stops without complaint at the first frame that is not of this log's generation or whose
    checksum is wrong: older frames follow in a log that was started anew.

    Raises:
        MalformedFileError: the log has no valid header, pages of another size than the database, or
            would make it grow beyond ``database_bytes``.
    """
    if wal.count(0) == len(wal):  # how SQLite leaves a log that it has copied back
        return database
    page_bytes = _wal_page_bytes(wal, path)
    if database and _page_bytes(database) != page_bytes:
        raise MalformedFileError(path, "write-ahead log and database differ in page size")
    pages: dict[int, int] = {}
    pages_count = 0
    pending: dict[int, int] = {}
    for number, commit_pages_count, start in _frames(wal, page_bytes):
        pending[number] = start
        if commit_pages_count:
            pages |= pending
            pending.clear()
            pages_count = commit_pages_count
    if pages_count * page_bytes > database_bytes:
        raise MalformedFileError(path, f"would grow the database beyond {database_bytes} bytes")
    if not pages_count:
        return database
    whole = bytearray(database[: pages_count * page_bytes].ljust(pages_count * page_bytes, b"\0"))
    for number, start in pages.items():
        if 0 < number <= pages_count:
            at = (number - 1) * page_bytes
            whole[at : at + page_bytes] = wal[start : start + page_bytes]
    return bytes(whole)


def _page_bytes(database: bytes) -> int:
    size = int.from_bytes(database[16:18], "big")
    return 65_536 if size == 1 else size


def _wal_page_bytes(wal: bytes, path: str) -> int:
    """Return the page size that the log's header names, its checksum verified."""
    if len(wal) >= _WAL_HEADER.size:
        magic, version, page_bytes, _, _, _, *sums = _WAL_HEADER.unpack_from(wal)
        order = _WAL_MAGICS.get(magic, "")
        known = order and version == _WAL_VERSION and page_bytes in _PAGE_SIZES
        if known and [*_checksum(order, wal[: _WAL_HEADER.size - 8], (0, 0))] == sums:
            return int(page_bytes)
    raise MalformedFileError(path, "write-ahead log without a valid header")


def _frames(wal: bytes, page_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Yield (page number, database pages if this frame commits else 0, offset of the page) while valid."""
    magic, *_, salt1, salt2, sum1, sum2 = _WAL_HEADER.unpack_from(wal)
    order, sums = _WAL_MAGICS[magic], (sum1, sum2)
    size = _FRAME_HEADER.size + page_bytes
    for start in range(_WAL_HEADER.size, len(wal) - size + 1, size):
        number, commit, *salts, want1, want2 = _FRAME_HEADER.unpack_from(wal, start)
        if salts != [salt1, salt2]:
            return
        body = start + _FRAME_HEADER.size
        sums = _checksum(order, wal[start : start + 8], sums)
        sums = _checksum(order, wal[body : body + page_bytes], sums)
        if sums != (want1, want2):
            return
        yield number, commit, body


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & _MASK
        two = (two + odd + one) & _MASK
    return one, two


def read_blobs(database: bytes, path: str, *, table: str, column: str) -> Iterator[bytes]:
    """Yield ``column`` of every row of ``table``; together never more bytes than ``database`` has.

    ``table`` and ``column`` are ours, never the image's. No trigger, view, function or virtual table of
    the image's schema is run: ``table`` must be an ordinary one.

    Raises:
        MalformedFileError: not a database, damaged, without such a table, or more work than it can need.
        UnsupportedError: the SQLite of this Python cannot open a database in memory.
    """
    if len(database) < _HEADER_BYTES or not database.startswith(_MAGIC):
        raise MalformedFileError(path, "not a SQLite database")
    # Bytes 18 and 19 say "write-ahead log", which an in-memory database cannot have; it is replayed.
    image = database[:18] + b"\x01\x01" + database[20:]
    left_bytes = len(database)
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            if not hasattr(connection, "deserialize"):
                raise UnsupportedError(path, "this SQLite cannot read from memory")
            _harden(connection, max(len(database), _LEAST_VALUE_BYTES))
            connection.deserialize(image)
            _require_table(connection, table, path)
            query = f"SELECT {column} FROM {table}"  # noqa: S608 - both are constants of the caller
            for (value,) in connection.execute(query):
                left_bytes -= len(value) if isinstance(value, bytes) else left_bytes + 1
                if left_bytes < 0:
                    raise MalformedFileError(path, f"{table}.{column} is not what it should be")
                yield value
    except (sqlite3.Error, ValueError, OverflowError, MemoryError) as error:
        # ValueError: a message that quotes the schema, and is then no text; MemoryError: SQLITE_NOMEM
        raise MalformedFileError(path, f"SQLite: {error}"[:200]) from error


def _harden(connection: sqlite3.Connection, value_bytes: int) -> None:
    """Bound work and memory, and switch off what a hostile schema could make SQLite do."""
    steps = iter(range(_STEPS_COUNT))
    connection.set_progress_handler(lambda: next(steps, None) is None, _STEP_INSTRUCTIONS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, value_bytes)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON", "mmap_size=0"):
        connection.execute(f"PRAGMA {pragma}").close()


def _require_table(connection: sqlite3.Connection, table: str, path: str) -> None:
    # Views and virtual tables have no root page.
    query = "SELECT 1 FROM sqlite_schema WHERE name = ? AND type = 'table' AND rootpage > 0"
    if len(connection.execute(query, (table,)).fetchmany(2)) != 1:
        raise MalformedFileError(path, f"no table {table}")
