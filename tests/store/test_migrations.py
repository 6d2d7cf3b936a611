from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from support.sample_report import sample_report
from support.service_store import request, scan, with_store
from support.store_process import layer

from scanner.store import open_store
from scanner.store._backend import parse_where
from scanner.store._codec import pack
from scanner.store._migrate import migrations_config
from scanner.store._tables import HEAD, METADATA

REPORT = sample_report()
CLEAN = REPORT.images[1]
LAYER = layer("sha256:a", 10)


@contextmanager
def transaction(where):
    """Begin one without our own way of opening a store."""
    backend = parse_where(where)
    if backend.path is not None:
        backend.path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(backend.url("psycopg" if backend.path is None else "pysqlite"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _seed_0001(connection):
    for table, digest, report, more in (
        ("layer_reports", LAYER.digest, LAYER, {}),
        ("image_reports", CLEAN.digest, CLEAN, {"reference": "r.example/a:1"}),
    ):
        values = {
            "digest": digest,
            "fingerprint": "f",
            "report": pack(report),
            "created_at": "2999-01-01T00:00:00Z",
            **more,
        }
        _insert(connection, table, values)


def _insert(connection, table, values):
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def _check_0001(where):
    store = open_store(where)
    try:
        assert store.load_layer(LAYER.digest, "f") == LAYER
        assert store.load_image(CLEAN.digest, "f") == CLEAN
    finally:
        store.close()


def _seed_0002(connection):
    values = {"id": "1" * 26, "name": "old", "scopes": "read", "prefix": "scn_", "created_at": 1}
    _insert(connection, "tokens", values | {"secret_hash": "a" * 64})


def _check_0002(where):
    (token,) = with_store(where, lambda store: store.tokens())
    assert (token.id, token.name, token.scopes) == ("1" * 26, "old", {"read"})


IMAGE = {
    **dict.fromkeys(("platform", "config_digest", "error", "reference", "fingerprint"), ""),
    **{f"{name}_count": 0 for name in ("critical", "high", "medium", "low", "info", "packages")},
    "kind": "image",
    "coverage": "{}",
    "report_fingerprint": "",
    "envelope": "{}",
}
OLD_IMAGES = {"sha256:1": "image", "sha256:2": "index", "sha256:3": "index"}


def _seed_0003(connection):
    states = ("partial", "partial", "complete")
    for (digest, kind), state in zip(OLD_IMAGES.items(), states, strict=True):
        values = {"digest": digest, "kind": kind, "state": state, "scanned_at": 1}
        _insert(connection, "images", IMAGE | values)


def _check_0003(where):
    """What was known is to be signed, but for an index of which some platforms may have been left out."""
    open_store(where).close()
    with transaction(where) as connection:
        due = connection.exec_driver_sql(
            "SELECT digest FROM images JOIN attested_images ON image_key = key WHERE due_at = 1"
        )
        assert {row[0] for row in due} == {"sha256:1", "sha256:3"}


SEEDS = {
    "0001": (_seed_0001, _check_0001),
    "0002": (_seed_0002, _check_0002),
    "0003": (_seed_0003, _check_0003),
}
"""By revision: what a database of that time held, and that it is still there."""


def revisions():
    """Return every revision, the oldest first."""
    script = ScriptDirectory.from_config(migrations_config())
    return [one.revision for one in reversed(list(script.walk_revisions()))]


def test_every_earlier_revision_has_a_seed():
    assert [*SEEDS, HEAD] == revisions()


@pytest.mark.parametrize("revision", SEEDS)
def test_up_from_an_earlier_revision_with_data(where, revision):
    seed, check = SEEDS[revision]
    with transaction(where) as connection:
        command.upgrade(migrations_config(connection), revision)
        seed(connection)
    check(where)
    scan(where, REPORT)
    assert with_store(where, lambda s: s.report(REPORT.digest)).images == REPORT.images
    check(where)


@pytest.mark.parametrize("revision", SEEDS)
def test_many_open_an_old_database_at_once(where, revision):
    seed, check = SEEDS[revision]
    with transaction(where) as connection:
        command.upgrade(migrations_config(connection), revision)
        seed(connection)
    with ThreadPoolExecutor(6) as pool:
        for opened in [pool.submit(open_store, where) for _ in range(6)]:
            opened.result().close()
    check(where)


def test_migrations_make_what_the_models_say(where):
    with transaction(where) as connection:
        command.upgrade(migrations_config(connection), "head")
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []
        migrated = _described(connection)
    assert migrated == _direct(where)


def _direct(where):
    """Return the tables as opening an empty place makes them."""
    with transaction(where) as connection:
        command.downgrade(migrations_config(connection), "base")
        connection.exec_driver_sql("DROP TABLE alembic_version")
    open_store(where).close()
    with transaction(where) as connection:
        return _described(connection)


def _described(connection):
    """Return every table's columns, keys and indexes, with the rows that a partial index is of."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        )
        return {name: " ".join(sql.replace('"', "").split()) for name, sql in rows}
    found = inspect(connection)
    tables = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(name)],
            found.get_pk_constraint(name),
            found.get_foreign_keys(name),
        )
        for name in found.get_table_names()
    }  # fmt: skip
    indexes = connection.exec_driver_sql(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    return tables | {name: definition for name, definition in indexes}  # noqa: C416 - rows are no pairs


@pytest.mark.parametrize("revision", SEEDS)
def test_down_and_up_again(where, revision):
    scan(where, REPORT)
    with transaction(where) as connection:
        command.downgrade(migrations_config(connection), revision)
        SEEDS[revision][0](connection)
    SEEDS[revision][1](where)
    scan(where, REPORT)
    assert with_store(where, lambda s: s.report(REPORT.digest)).images == REPORT.images


def test_a_migration_that_fails_changes_nothing(tmp_path):
    """The tables of 0002 are half made when one of them turns out to be there."""
    with transaction(tmp_path) as connection:
        command.upgrade(migrations_config(connection), "0001")
        _seed_0001(connection)
        connection.exec_driver_sql("CREATE TABLE index_children (a)")
    with pytest.raises(Exception, match="index_children"):
        open_store(tmp_path)
    connection = sqlite3.connect(tmp_path / "scanner.db")
    names = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("0001",)]
    connection.close()
    assert names == {"alembic_version", "layer_reports", "image_reports", "index_children"}


def test_an_empty_place(where):
    with_store(where, lambda store: store.enqueue(request(1), "f"))
    with transaction(where) as connection:
        rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    assert [tuple(row) for row in rows] == [(HEAD,)]
