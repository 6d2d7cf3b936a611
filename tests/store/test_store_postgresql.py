"""What only PostgreSQL has: URLs, passwords, locks of the server, and its errors."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from support.queueing import enqueue_numbers, transaction
from support.registry import free_port

from scanner.errors import StoreError
from scanner.store import _postgresql, open_store
from scanner.store._backend import Backend, parse_where
from scanner.store._migrate import migrations_config
from scanner.store._tables import HEAD, METADATA
from scanner.store.queue import open_queue

PASSWORD = "se" + "cret/w:rd"


def name_of(url):
    return url.rpartition("/")[2]


@pytest.mark.parametrize(
    ("where", "shown", "dsn"),
    [
        pytest.param(
            "postgres://me:w@db:5433/s", "postgresql://me:***@db:5433/s", "postgresql://me:w@db:5433/s",
            id="postgres",
        ),
        pytest.param(
            "postgresql+psycopg://me:w@db/s?sslmode=require", "postgresql://me:***@db/s",
            "postgresql://me:w@db/s?sslmode=require", id="driver_and_query",
        ),
        pytest.param(
            "postgresql+asyncpg://db/s", "postgresql://db/s", "postgresql://db/s", id="other_driver",
        ),
        pytest.param(
            "postgresql:///s?host=/run/pg", "postgresql:///s", "postgresql:///s?host=%2Frun%2Fpg",
            id="socket",
        ),
        pytest.param(
            "postgresql://me:a%40b%2Fc@[::1]/s?password=q", "postgresql://me:***@[::1]/s",
            "postgresql://me:a%40b%2Fc@[::1]/s?password=q", id="quoted_and_ipv6",
        ),
    ],
)  # fmt: skip
def test_urls(where, shown, dsn):
    backend = parse_where(where)
    assert (backend.shown, backend.dsn, backend.locks) == (shown, dsn, None)
    assert backend.url("asyncpg").drivername == "postgresql+asyncpg"
    assert "a%40b" not in repr(backend)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("mysql://me:w0rd@db/s", id="other_database"),
        pytest.param("postgresql://me:w0rd@db:port/s", id="port"),
        pytest.param("postgresql://me:x@w0rd@db/s", id="unquoted_at"),
        pytest.param("sqlite://w0rd", id="sqlite_with_two_slashes"),
    ],
)
def test_urls_that_are_refused(where):
    with pytest.raises(StoreError) as caught:
        parse_where(where)
    assert "w0rd" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint


def test_places_on_disk(tmp_path):
    file = tmp_path / "x.db"
    assert parse_where(tmp_path) == Backend(path=tmp_path / "scanner.db")
    assert parse_where(f"sqlite:///{file}") == Backend(path=file)
    file.touch()
    assert parse_where(file) == Backend(path=file)
    assert parse_where(Path("a")).locks == Path("a/locks")


def test_by_its_socket(postgresql):
    with postgresql.database() as url:
        open_store(postgresql.socket_url(name_of(url))).close()


def _no_server(postgresql, url):
    return f"postgresql://me:{'w0rd'}@127.0.0.1:{free_port()}/x"


def _no_database(postgresql, url):
    return url + "_missing"


def _foreign(postgresql, url):
    postgresql.execute(name_of(url), "CREATE TABLE t (a int)")
    return url


def _newer(postgresql, url):
    open_store(url).close()
    postgresql.execute(name_of(url), "UPDATE alembic_version SET version_num = '9999'")
    return url


def _no_rights(postgresql, url):
    postgresql.execute("postgres", "DROP ROLE IF EXISTS guest")
    postgresql.execute("postgres", "CREATE ROLE guest LOGIN PASSWORD 'w0rd'")
    postgresql.execute(name_of(url), "REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # before 15
    return url.replace("postgres:pgword", "guest:w0rd")


def _unknown_user(postgresql, url):
    return url.replace("postgres:pgword", "nobody:w0rd")


def _unknown_option(postgresql, url):
    return url + "?no_such_option=w0rd"


@pytest.mark.parametrize(
    ("spoil", "hint", "is_retryable"),
    [
        pytest.param(_no_server, "can be reached", True, id="no_server"),
        pytest.param(_no_database, "create the database", False, id="no_database"),
        pytest.param(_foreign, "another place", False, id="another_program"),
        pytest.param(_newer, "update this scanner", False, id="newer_scanner"),
        pytest.param(_no_rights, "right to create", False, id="no_rights"),
        pytest.param(_unknown_user, "user and password", False, id="unknown_user"),
        pytest.param(_unknown_option, "options after", False, id="unknown_option"),
    ],
)
def test_what_cannot_be_opened(postgresql, postgresql_url, spoil, hint, is_retryable):
    url = spoil(postgresql, postgresql_url)
    with pytest.raises(StoreError) as caught:
        open_store(url)
    told = f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert "w0rd" not in told
    assert "pgword" not in told
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.retryable is is_retryable


def test_migrations_make_the_same_tables(postgresql):
    from alembic import command
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with postgresql.database() as direct, postgresql.database() as steps:
        open_store(direct).close()
        engine = _postgresql.engine_on(parse_where(steps))
        with engine.begin() as connection:
            command.upgrade(migrations_config(connection), "head")
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, METADATA) == []
        engine.dispose()
        query = (
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
            """SELECT table_name, column_name, data_type, character_maximum_length, is_nullable
            FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
            """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
        )
        for statement in query:
            made = [postgresql.execute(name_of(url), statement) for url in (direct, steps)]
            assert made[0] == made[1]
        open_store(steps).close()
        assert postgresql.execute(name_of(steps), "SELECT * FROM alembic_version") == [(HEAD,)]


def test_an_older_database_is_brought_up_to_date_by_one_of_many(postgresql_url):
    from alembic import command

    engine = _postgresql.engine_on(parse_where(postgresql_url))
    with engine.begin() as connection:
        command.upgrade(migrations_config(connection), "0001")
    engine.dispose()
    failures = []

    def opening():
        try:
            open_store(postgresql_url).close()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=opening) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with transaction(postgresql_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [
            (HEAD,)
        ]


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"


def test_connections_that_the_server_cuts_are_replaced(postgresql, postgresql_url):
    queue = open_queue(postgresql_url)
    enqueue_numbers(postgresql_url, 1)
    queue.wait(0)
    lease = queue.lease("w")
    queue.wait(0.01)
    postgresql.execute("postgres", CUT.format(name_of(postgresql_url)))
    queue.progress(lease, "extract", {})
    with pytest.raises(StoreError) as caught:  # it may have missed something: it says so once
        queue.wait(5)
    assert caught.value.retryable
    queue.wait(0.01)
    queue.close()


def test_a_claim_whose_connection_is_cut_is_free(postgresql, postgresql_url):
    store, other = open_store(postgresql_url), open_store(postgresql_url)
    with store.claim_layer("sha256:a", "f", wait_seconds=0) as first:
        postgresql.execute("postgres", CUT.format(name_of(postgresql_url)))
        with other.claim_layer("sha256:a", "f", wait_seconds=5) as second:
            pass
    with store.claim_layer("sha256:a", "f", wait_seconds=0) as again:
        pass
    assert (first, second, again) == (True, True, True)
    store.close()
    other.close()


def test_keys_of_locks():
    keys = {_postgresql.lock_key(*names) for names in (("a", "b"), ("ab",), ("a", "b", ""))}
    assert len(keys) == 3
    assert all(-(2**63) <= key < 2**63 for key in keys)


def test_the_engine_never_shows_the_password():
    url = URL.create("postgresql", username="u", password=PASSWORD, host="db", database="d")
    engine = _postgresql.engine_on(Backend(postgresql=url))
    assert PASSWORD not in f"{engine!r} {engine.url}"
    engine.dispose()
