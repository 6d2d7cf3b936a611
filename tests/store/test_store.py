from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import store_process
from support.queueing import transaction
from support.store_process import layer

from scanner.errors import StoreError
from scanner.model import (
    Coverage,
    Distribution,
    FileIssue,
    Finding,
    ImageConfig,
    ImageReport,
    Kept,
    Kind,
    LayerReport,
    LayerSummary,
    LayerTree,
    LimitHit,
    OwnedFiles,
    Package,
    Platform,
    ScanState,
    Severity,
)
from scanner.ports import ReportStore
from scanner.store import SqlStore, open_store
from scanner.store._migrate import migrations_config
from scanner.store._tables import HEAD, IMAGE_REPORTS, LAYER_REPORTS, METADATA

REPOSITORY = Path(__file__).parents[2]
PACKAGE = Package(purl_type="deb", name="p", version="1", path="a", qualifiers={"arch": "all"})
FINDING = Finding(
    rule_id="secret/x", kind=Kind.SECRET, severity=Severity.HIGH, title="t", why="w", remedy="r",
    path="a", line=3, evidence={"sha256": "0"}, identity="i",
)  # fmt: skip
ISSUE = FileIssue(path="b", reason="r", code="skipped")
LIMIT = LimitHit(limit="file_bytes", allowed=1.5)
LAYER = LayerReport(
    digest="sha256:a", diff_id="sha256:b", compressed_bytes=1, uncompressed_bytes=2**40,
    compression="zstd", entries_count=3, files_count=2, read_count=1, packages=(PACKAGE,),
    findings=(FINDING,), kept=(Kept(key="k", path="a", data=b"\0\xff"),),
    owned=(OwnedFiles(package="p", path="a", paths="x\ny"),), issues=(ISSUE,), limits=(LIMIT,),
    tree=LayerTree(names=b"\0fa\xff", symlinks=(("a", "b"),), hardlinks=(("c", "d"),),
                   whiteouts=("e",), opaques=("f",)),
)  # fmt: skip
IMAGE = ImageReport(
    digest="sha256:m", image_id="sha256:c", platform=Platform(architecture="arm", variant="v7"),
    state=ScanState.PARTIAL,
    coverage=Coverage(
        layers_count=1, layers_scanned_count=1, compressed_bytes=1, uncompressed_bytes=2,
        entries_count=3, files_count=2, read_count=1, distribution_recognised=True,
        ecosystems={"deb": 1}, issues=(ISSUE,), limits=(LIMIT,),
    ),
    distribution=Distribution(id="debian", version="12"), config=ImageConfig(user="u"),
    layers=(LayerSummary(digest="sha256:a", index=0),), packages=(PACKAGE,), findings=(FINDING,),
)  # fmt: skip


@pytest.fixture
def store(where):
    opened = open_store(where)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path):
    opened = open_store(tmp_path / "store")
    yield opened
    opened.close()


def run(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, store_process.__file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options)


def output(*arguments):
    with run(*arguments) as process:
        text = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return text


def test_is_a_report_store(store):
    as_port: ReportStore = store
    assert isinstance(as_port, SqlStore)


def test_layer_comes_back_whole(store):
    assert store.load_layer("sha256:a", "f") is None
    store.save_layer(LAYER, "f")
    assert store.load_layer("sha256:a", "f") == LAYER
    assert store.load_layer("sha256:a", "other") is None
    assert store.load_layer("sha256:b", "f") is None


def test_first_layer_stored_wins(store):
    store.save_layer(LAYER, "f")
    store.save_layer(layer("sha256:a"), "f")
    assert store.load_layer("sha256:a", "f") == LAYER


def test_last_image_stored_wins(store):
    assert store.load_image("sha256:m", "f") is None
    store.save_image(IMAGE, "f", "r:1")
    newer = ImageReport(**{k: getattr(IMAGE, k) for k in ("digest", "image_id", "platform", "coverage")},
                        state=ScanState.COMPLETE)  # fmt: skip
    store.save_image(newer, "f", "r:2")
    store.save_image(IMAGE, "g", "r:1")
    assert (store.load_image("sha256:m", "f"), store.load_image("sha256:m", "g")) == (newer, IMAGE)


def test_survives_closing(where):
    for _ in range(2):
        store = open_store(where)
        store.save_layer(LAYER, "f")
        store.close()
        store.close()
    store = open_store(where if "://" in where else f"sqlite:///{where}/scanner.db")
    assert store.load_layer("sha256:a", "f") == LAYER
    store.close()


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no zstd", id="not_zstd"),
        pytest.param(b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8, id="claims_a_huge_size"),
        pytest.param(b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00\xc1", id="not_msgpack"),
    ],
)  # fmt: skip
def test_damaged_report_is_absent_and_goes_away(store, where, blob):
    store.save_layer(LAYER, "f")
    store.save_image(IMAGE, "f", "r")
    with transaction(where) as connection:
        connection.execute(LAYER_REPORTS.update().values(report=blob))
        connection.execute(IMAGE_REPORTS.update().values(report=blob))
    assert store.load_layer("sha256:a", "f") is None
    assert store.load_image("sha256:m", "f") is None
    store.save_layer(LAYER, "f")
    assert store.load_layer("sha256:a", "f") == LAYER


def execute(directory, statement, *values):
    connection = sqlite3.connect(directory / "scanner.db", timeout=20)
    with connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


def test_only_the_owner_may_read(tmp_path):
    old = os.umask(0)
    try:
        store = open_store(tmp_path / "store")
        store.save_layer(LAYER, "f")
        with store.claim_layer("sha256:a", "f", wait_seconds=0):
            modes = {
                str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode)
                for p in tmp_path.rglob("*")
                if p.suffix != ".lock"
            }
            lock_modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*.lock")}
        store.close()
    finally:
        os.umask(old)
    assert modes == {
        "store": 0o700,
        "store/locks": 0o700,
        "store/scanner.db": 0o600,
        "store/scanner.db-wal": 0o600,
        "store/scanner.db-shm": 0o600,
    }
    assert lock_modes == {0o600}


def test_sqlite_is_set_up_for_many_processes(sqlite_store):
    with sqlite_store._writer.begin() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {p}").scalar()
            for p in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        ]
    assert values == ["wal", 1, 30_000, 1]


# Opening


def _schema(directory):
    rows = execute(directory, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in rows}


def test_migrations_make_the_same_tables(tmp_path):
    from alembic import command
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine

    open_store(tmp_path / "direct").close()
    (tmp_path / "steps").mkdir()
    engine = create_engine(f"sqlite:///{tmp_path}/steps/scanner.db")
    with engine.begin() as connection:
        command.upgrade(migrations_config(connection), "head")
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, METADATA)
    engine.dispose()
    assert differences == []
    assert _schema(tmp_path / "steps") == _schema(tmp_path / "direct")
    assert ScriptDirectory.from_config(migrations_config()).get_current_head() == HEAD
    open_store(tmp_path / "steps").close()


def test_migrations_can_be_undone(tmp_path):
    from alembic import command

    store = open_store(tmp_path)
    with store._writer.begin() as connection:
        command.downgrade(migrations_config(connection), "base")
    store.close()
    assert set(_schema(tmp_path)) == {"alembic_version"}


def test_an_older_database_is_brought_up_to_date(tmp_path, monkeypatch):
    from scanner.store import _migrate

    store = open_store(tmp_path)
    store.save_layer(LAYER, "f")
    store.close()
    newer = tmp_path / "migrations"
    (newer / "versions").mkdir(parents=True)
    source = _migrate.migrations_directory()
    for path in (source / "env.py", *source.glob("versions/*.py")):
        (newer / path.relative_to(source)).write_text(path.read_text())
    (newer / "versions" / "9000_more.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision, branch_labels, depends_on = '9000', '{HEAD}', None, None\n"
        "def upgrade():\n    op.add_column('layer_reports', sa.Column('more', sa.String(8)))\n"
    )
    monkeypatch.setattr(_migrate, "migrations_directory", lambda: newer)
    monkeypatch.setattr("scanner.store._database.HEAD", "9000")
    upgraded = open_store(tmp_path)
    assert upgraded.load_layer("sha256:a", "f") == LAYER
    upgraded.close()
    assert execute(tmp_path, "SELECT version_num FROM alembic_version") == [("9000",)]
    assert "more" in _schema(tmp_path)["layer_reports"]


def _newer(directory):
    open_store(directory).close()
    execute(directory, "UPDATE alembic_version SET version_num = '9999'")


def _foreign(directory):
    execute(directory, "CREATE TABLE t (a)")


def _no_database(directory):
    (directory / "scanner.db").write_bytes(b"these are not the bytes of a database" * 100)


def _damaged(directory):
    store = open_store(directory)
    store.save_layer(layer("sha256:a", 5_000), "f")
    store.close()
    path = directory / "scanner.db"
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 20_000)


def _directory(directory):
    (directory / "scanner.db").mkdir()


def _file_for_locks(directory):
    (directory / "locks").write_text("")


@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        pytest.param(_newer, "update this scanner", id="newer_scanner"),
        pytest.param(_foreign, "another place", id="another_program"),
        pytest.param(_no_database, "move it away", id="no_database"),
        pytest.param(_damaged, "move it away", id="damaged"),
        pytest.param(_directory, "directory", id="directory"),
        pytest.param(_file_for_locks, "directory", id="file_for_locks"),
    ],
)
def test_what_cannot_be_opened(tmp_path, spoil, hint):
    spoil(tmp_path)
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path)
    assert hint in caught.value.hint
    assert str(tmp_path) in str(caught.value)


def test_other_urls_are_refused_without_their_password():
    with pytest.raises(StoreError) as caught:
        open_store("mysql://user:word@host/db")
    assert "word" not in str(caught.value)


def test_full_disk(tmp_path):
    assert "disk" in output("fill", tmp_path / "s", 400_000)
    open_store(tmp_path / "s").close()


def test_not_writable():
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent) / "store"
        open_store(directory).close()
        for path in (Path(parent), directory, directory / "locks"):
            path.chmod(0o555)
        (directory / "scanner.db").chmod(0o444)
        hint = output("read_only", directory)
        for path in (Path(parent), directory, directory / "locks"):
            path.chmod(0o755)
    assert "writable" in hint or "yours" in hint


def test_statements_and_values_stay_out_of_errors(store, where):
    with transaction(where) as connection:
        LAYER_REPORTS.drop(connection)
    with pytest.raises(StoreError) as caught:
        store.save_layer(layer("sha256:word"), "f")
    assert "word" not in str(caught.value)
    assert "INSERT" not in str(caught.value)


# Many at once


def test_many_processes_compute_each_layer_once(where, tmp_path):
    """They also all open an empty place at once."""
    log = tmp_path / "log"
    count = 4 if "://" in where else 10
    processes = [run("share", where, 12, log) for _ in range(count)]
    for process in processes:
        with process:
            process.communicate(timeout=120)
    assert [p.returncode for p in processes] == [0] * count
    computed = Counter(line.split()[0] for line in log.read_text().splitlines())
    assert computed == {f"sha256:{n}": 1 for n in range(12)}
    assert list(tmp_path.glob("store/locks/*")) == []


def test_threads_exclude_each_other(store):
    inside, most, errors = [], [], []

    def work():
        for _ in range(20):
            with store.claim_layer("sha256:a", "f", wait_seconds=30) as claimed:
                if not claimed:
                    errors.append("not claimed")
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), errors) == (1, [])


def test_claims(store):
    with store.claim_layer("sha256:a", "f", wait_seconds=0) as first:
        with store.claim_layer("sha256:a", "f", wait_seconds=0.02) as second:
            pass
        with (
            store.claim_layer("sha256:b", "f", wait_seconds=0) as other_layer,
            store.claim_layer("sha256:a", "g", wait_seconds=0) as other_fingerprint,
        ):
            pass
    with store.claim_layer("sha256:a", "f", wait_seconds=0) as again:
        pass
    assert (first, second, other_layer, other_fingerprint, again) == (True, False, True, True, True)


def test_claim_ends_with_an_exception(store):
    with pytest.raises(KeyError), store.claim_layer("sha256:a", "f", wait_seconds=0):
        raise KeyError
    with store.claim_layer("sha256:a", "f", wait_seconds=0) as again:
        assert again


def test_claim_without_a_place_for_it(sqlite_store, tmp_path):
    (tmp_path / "store" / "locks").rmdir()
    with pytest.raises(StoreError), sqlite_store.claim_layer("sha256:a", "f", wait_seconds=0):
        pytest.fail("claimed")


def test_killed_holder_frees_its_claim(store, where, tmp_path):
    with run("hold", where, "sha256:a") as process:
        assert process.stdout.readline() == "held\n"
        with store.claim_layer("sha256:a", "f", wait_seconds=0) as while_held:
            pass
        process.kill()
        process.wait()
        with store.claim_layer("sha256:a", "f", wait_seconds=5) as after:
            pass
    assert (while_held, after) == (False, True)
    assert list(tmp_path.glob("store/locks/*")) == []


def test_killed_writers_leave_a_whole_store(where, tmp_path):
    seed = random.Random(1)
    written = -1
    for _ in range(4):
        with run("write", where) as process:
            process.stdout.readline()
            time.sleep(seed.random() / 20)
            process.kill()
            lines = process.stdout.read().split("\n")
        written = max([written, *(int(n) for n in lines[:-1] if n)])
    store = open_store(where)
    if "://" not in where:
        assert execute(tmp_path / "store", "PRAGMA integrity_check") == [("ok",)]
    for number in range(written + 1):
        assert store.load_layer(f"sha256:{number}", "f") == layer(f"sha256:{number}", 2_000)
    store.close()


def test_opening_needs_neither_alembic_nor_asyncio_nor_postgresql(tmp_path):
    open_store(tmp_path).close()
    code = (
        "import sys; from scanner.store import open_store; open_store(sys.argv[1]).close();"
        "print([m for m in ('alembic', 'psycopg', 'sqlalchemy.ext.asyncio',"
        " 'sqlalchemy.orm', 'scanner.store._images') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.check_output(command, env=environment, text=True) == "[]\n"


def test_an_image_report_of_another_day_is_not_given(store):
    store.save_image(IMAGE, "f", "r")
    now = datetime.now(UTC)
    assert store.load_image("sha256:m", "f", not_before=now - timedelta(hours=1)) == IMAGE
    assert store.load_image("sha256:m", "f", not_before=now + timedelta(hours=1)) is None
