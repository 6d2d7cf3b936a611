from __future__ import annotations

import os
import sqlite3
import stat
import threading

import pytest
from support.sample_report import sample_report
from support.service_store import request, scan, with_store

from scanner.errors import StoreError
from scanner.store.backup import backup

REPORT = sample_report()


def test_a_backup_is_a_store(tmp_path):
    source, target = tmp_path / "store", tmp_path / "saved" / "scanner.db"
    target.parent.mkdir()
    scan(str(source), REPORT)
    old = os.umask(0)
    try:
        backup(source, target)
    finally:
        os.umask(old)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]
    answers = [with_store(str(w), lambda s: s.report(REPORT.digest)) for w in (source, target)]
    assert answers[0] == answers[1] is not None


def test_a_backup_is_of_one_moment_while_others_write(tmp_path):
    """Each transaction adds two rows: a copy with an odd number would be of no moment."""
    source = tmp_path / "store"
    with_store(source, lambda store: store.enqueue_many([request(n) for n in range(2_000)], "f"))
    stop, count = threading.Event(), 0

    def write():
        connection = sqlite3.connect(source / "scanner.db", isolation_level=None, timeout=30)
        while not stop.is_set():
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                connection.execute(
                    "INSERT INTO packages (purl_hash, name_hash, purl_type, namespace, name, version, purl)"
                    " VALUES (hex(randomblob(20)), '', '', '', '', '', hex(randomblob(500)))"
                )
            connection.execute("COMMIT")
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup(source, tmp_path / f"{number}.db")
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        connection = sqlite3.connect(tmp_path / f"{number}.db")
        count, scans = connection.execute(
            "SELECT (SELECT count(*) FROM packages), (SELECT count(*) FROM scans)"
        ).fetchone()
        connection.close()
        assert (count % 2, scans) == (0, 2_000)


def test_nothing_is_overwritten(tmp_path):
    with_store(tmp_path / "store", lambda store: store.ping())
    target = tmp_path / "there"
    target.write_text("mine")
    with pytest.raises(StoreError, match="there already"):
        backup(tmp_path / "store", target)
    assert target.read_text() == "mine"


def test_no_database(tmp_path):
    with pytest.raises(StoreError, match="no database"):
        backup(tmp_path, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_no_place_for_it(tmp_path, parent):
    with_store(tmp_path / "store", lambda store: store.ping())
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        backup(tmp_path / "store", tmp_path / parent / "copy")
    assert caught.value.hint


def test_a_damaged_database_gives_no_backup(tmp_path):
    scan(str(tmp_path / "store"), REPORT)
    path = tmp_path / "store" / "scanner.db"
    data = bytearray(path.read_bytes())
    data[8_192:60_000] = b"\xff" * (60_000 - 8_192)
    path.write_bytes(data)
    with pytest.raises(StoreError):
        backup(tmp_path / "store", tmp_path / "copy")
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_postgresql_is_told_how_to_be_saved(tmp_path):
    with pytest.raises(StoreError) as caught:
        backup("postgresql://me:word@db.example:5433/scanner", tmp_path / "copy")
    assert caught.value.hint == (
        "PostgreSQL saves itself: pg_dump --format=custom --file=scanner.dump"
        " postgresql://me@db.example:5433/scanner"
    )
    assert "word" not in str(caught.value)
