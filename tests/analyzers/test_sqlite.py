"""Replaying a write-ahead log, judged by SQLite itself, and hostile schemas."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing

import pytest

from scanner.analyzers._sqlite import read_blobs, replay_wal
from scanner.errors import MalformedFileError

LIMIT = 16 * 1024 * 1024


def written(tmp_path, *steps, page_bytes=4096):
    """Return database and log after ``steps``, none copied back, as a killed writer leaves them."""
    with closing(sqlite3.connect(tmp_path / "d", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={page_bytes}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        for step in steps:
            connection.execute(step).fetchall()
        return (tmp_path / "d").read_bytes(), (tmp_path / "d-wal").read_bytes()


def as_sqlite_reads(tmp_path, database, wal):
    (tmp_path / "e").write_bytes(database)
    (tmp_path / "e-wal").write_bytes(wal)
    with closing(sqlite3.connect(tmp_path / "e")) as connection:
        return [blob for (blob,) in connection.execute("SELECT blob FROM Packages")]


def as_we_read(database, wal):
    whole = replay_wal(database, wal, "d-wal", database_bytes=LIMIT)
    return list(read_blobs(whole, "d", table="Packages", column="blob"))


ONE = "INSERT INTO Packages(blob) VALUES (zeroblob(100))"
BIG = "INSERT INTO Packages(blob) VALUES (randomblob(200000))"
CASES = {
    "one_transaction": [ONE],
    "large_values": [BIG, ONE, BIG],
    "copied_back_then_more": [BIG, "PRAGMA wal_checkpoint(RESTART)", ONE],
    "log_emptied_then_more": [BIG, "PRAGMA wal_checkpoint(TRUNCATE)", ONE],
    "nothing_after_copying_back": [BIG, "PRAGMA wal_checkpoint(TRUNCATE)"],
    "shrunk": [BIG, BIG, "PRAGMA wal_checkpoint(RESTART)", "DELETE FROM Packages", ONE, "VACUUM"],
    "not_committed": [ONE, "PRAGMA cache_size=1", "BEGIN", BIG, BIG],
}


@pytest.mark.parametrize("page_bytes", [512, 4096, 65536])
@pytest.mark.parametrize("steps", CASES.values(), ids=CASES)
def test_same_as_sqlite(tmp_path, steps, page_bytes):
    database, wal = written(tmp_path, *steps, page_bytes=page_bytes)
    assert as_we_read(database, wal) == as_sqlite_reads(tmp_path, database, wal)


@pytest.mark.parametrize("kept_part", [0.3, 0.6, 0.95])
def test_torn_log_is_read_up_to_its_last_commit(tmp_path, kept_part):
    database, wal = written(tmp_path, ONE, BIG, ONE, BIG, ONE)
    torn = wal[: int(len(wal) * kept_part)]
    want = as_sqlite_reads(tmp_path, database, torn)
    assert as_we_read(database, torn) == want
    assert 0 < len(want) < 5


def test_flipped_frame_ends_the_log(tmp_path):
    database, wal = written(tmp_path, ONE, BIG, ONE, BIG, ONE)
    flipped = bytearray(wal)
    flipped[len(wal) // 2] ^= 1
    want = as_sqlite_reads(tmp_path, database, bytes(flipped))
    assert as_we_read(database, bytes(flipped)) == want
    assert 0 < len(want) < 5


def big_endian(wal: bytes) -> bytes:
    """Return the same log with checksums as a big-endian machine writes them."""
    size = struct.unpack_from(">I", wal, 8)[0]
    first, second = 0, 0

    def add(data):
        nonlocal first, second
        for i in range(0, len(data), 8):
            first = (first + int.from_bytes(data[i : i + 4], "big") + second) % 2**32
            second = (second + int.from_bytes(data[i + 4 : i + 8], "big") + first) % 2**32
        return struct.pack(">II", first, second)

    head = struct.pack(">I", 0x377F0683) + wal[4:24]
    out = head + add(head)
    for start in range(32, len(wal), 24 + size):
        frame, page = wal[start : start + 16], wal[start + 24 : start + 24 + size]
        add(frame[:8])
        out += frame + add(page) + page
    return out


def test_log_of_a_big_endian_machine(tmp_path):
    database, wal = written(tmp_path, ONE, BIG, page_bytes=512)
    other = big_endian(wal)
    want = as_sqlite_reads(tmp_path, database, other)
    assert as_we_read(database, other) == want
    assert len(want) == 2


@pytest.mark.parametrize(
    "wal",
    [b"x", b"\1" * 32, struct.pack(">8I", 0x377F0682, 3007000, 4096, 0, 0, 0, 0, 0)],
    ids=["short", "no_magic", "wrong_checksum"],
)
def test_log_without_header(wal):
    with pytest.raises(MalformedFileError):
        replay_wal(b"", wal, "d-wal", database_bytes=LIMIT)


def test_log_may_not_grow_the_database_beyond_the_limit(tmp_path):
    database, wal = written(tmp_path, BIG)
    with pytest.raises(MalformedFileError):
        replay_wal(database, wal, "d-wal", database_bytes=100_000)


def test_log_of_another_page_size(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    database, _ = written(tmp_path / "1", ONE, "PRAGMA wal_checkpoint(TRUNCATE)", page_bytes=512)
    _, wal = written(tmp_path / "2", ONE)
    with pytest.raises(MalformedFileError):
        replay_wal(database, wal, "d-wal", database_bytes=LIMIT)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(["CREATE TABLE other(blob)"], id="no_such_table"),
        pytest.param(
            [
                "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT blob FROM n) SELECT blob FROM n"
            ],
            id="endless_view",
        ),
        pytest.param(["CREATE VIRTUAL TABLE Packages USING fts5(blob)"], id="virtual_table"),
        pytest.param(
            ["CREATE TABLE Packages(blob)", "INSERT INTO Packages VALUES ('text')"], id="text"
        ),
        pytest.param(["CREATE TABLE Packages(other)"], id="no_such_column"),
        pytest.param(
            [
                "CREATE TABLE Packages(n, blob AS (zeroblob(n)))",
                "INSERT INTO Packages VALUES (900000000)",
            ],
            id="generated_value_of_900_mb",
        ),
        pytest.param(
            [
                "CREATE TABLE Packages(n, blob AS (zeroblob(n)))",
                "WITH RECURSIVE i(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM i WHERE k < 999) INSERT INTO Packages SELECT 900000 FROM i",
            ],
            id="generated_values_together_more_than_the_file",
        ),
    ],
)
def test_hostile_schema(schema):
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in schema:
            connection.execute(statement)
        database = connection.serialize()
    with pytest.raises(MalformedFileError):
        list(read_blobs(database, "d", table="Packages", column="blob"))
