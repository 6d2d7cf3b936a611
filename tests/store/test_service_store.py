from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from support.sample_report import HOSTILE, sample_report
from support.service_store import (
    digest,
    request,
    scan,
    single,
    with_store,
)

from scanner.errors import StoreError
from scanner.ports import (
    Delivery,
    Enqueued,
    FindingFilter,
    ServiceStore,
)
from scanner.store import open_store
from scanner.store.service import SqlServiceStore, open_service_store

REPOSITORY = Path(__file__).parents[2]
REPORT = sample_report()
MAIN, CLEAN, FAILED = REPORT.images
NAMES = ("registry.example", "team/app")


def test_is_a_service_store(where):
    async def ask(store):
        as_port: ServiceStore = store
        await as_port.ping()
        assert isinstance(as_port, SqlServiceStore)

    with_store(where, ask)


# Deliveries and tokens


def _delivery(event_id, source="harbor", **more):
    return Delivery(source=source, event_id=event_id, outcome="queued", **more)


def test_deliveries(where):
    events = [_delivery("1"), _delivery("2", detail="x"), _delivery("1"), _delivery("1", "quay")]

    async def ask(store):
        first = await store.record_deliveries(events)
        again = await store.record_deliveries([*reversed(events), _delivery("3")])
        page = await store.deliveries(limit=3)
        return (
            first, again, await store.record_deliveries([]), page,
            await store.deliveries(after=page.next), await store.deliveries(source="quay"),
        )  # fmt: skip

    first, again, nothing, page, last, quay = with_store(where, ask)
    assert first == [True, True, False, True]
    assert again == [False, False, False, False, True]
    assert nothing == []
    every = [*page.items, *last.items]
    assert sorted((d.source, d.detail, d.outcome) for d in every) == [
        ("harbor", "", "queued"), ("harbor", "", "queued"), ("harbor", "x", "queued"), ("quay", "", "queued"),
    ]  # fmt: skip
    assert every[0].event_id == hashlib.sha256(b"3").hexdigest()
    assert all(datetime.now(UTC) - d.received_at < timedelta(minutes=1) for d in every)
    assert [d.source for d in quay.items] == ["quay"]


def test_many_record_the_same_delivery_at_once(where):
    async def ask(store):
        calls = (store.record_deliveries([_delivery("1"), _delivery("2")][:: 1 - 2 * (n % 2)]) for n in range(10))  # fmt: skip
        return await asyncio.gather(*calls)

    assert sum(sum(answer) for answer in with_store(where, ask)) == 2


def test_tokens(where):
    expires_at = datetime(2100, 1, 1, tzinfo=UTC)

    async def ask(store):
        text, made = await store.create_token("ci", {"scan", "read"}, expires_at=expires_at)
        hashed = hashlib.sha256(text.encode()).hexdigest()
        loaded = await store.load_token(hashed)
        assert loaded == made
        assert await store.load_token(hashlib.sha256(b"other").hexdigest()) is None
        revoked = [await store.revoke_token(i) for i in (made.id, made.id, "unknown")]
        assert revoked == [True, False, False]
        assert await store.load_token(hashed) is None
        return text, made, await store.tokens()

    text, made, every = with_store(where, ask)
    assert (made.name, made.scopes, made.expires_at) == ("ci", {"scan", "read"}, expires_at)
    assert text.startswith(made.prefix)
    assert (len(text), text[:4]) == (47, "scn_")
    assert len(made.prefix) < 12
    assert [t.id for t in every] == [made.id]
    assert every[0].revoked_at is not None


def test_use_of_a_token_is_noted_now_and_then(where):
    async def make(store):
        text, made = await store.create_token("ci", ["read"])
        hashed = hashlib.sha256(text.encode()).hexdigest()
        await asyncio.gather(*(store.load_token(hashed) for _ in range(5)))
        return hashed, made

    hashed, made = with_store(where, make)  # closing waits for what is being noted
    assert made.last_used_at is None
    (used,) = with_store(where, lambda store: store.tokens())
    assert used.last_used_at is not None
    assert with_store(where, lambda store: store.load_token(hashed)) == used
    assert with_store(where, lambda store: store.tokens()) == [used]


def test_expired_token(where):
    async def ask(store):
        past = datetime.now(UTC) - timedelta(seconds=1)
        text, _ = await store.create_token("old", ["read"], expires_at=past)
        return await store.load_token(hashlib.sha256(text.encode()).hexdigest())

    assert with_store(where, ask) is None


def test_no_token_is_in_the_database(tmp_path):
    text, _ = with_store(tmp_path, lambda store: store.create_token("ci", ["read"]))
    for path in tmp_path.rglob("*.db*"):
        assert text[12:].encode() not in path.read_bytes()


# Hostile texts


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\0b", id="nul"),
        pytest.param("\ud800", id="lone_surrogate"),
        pytest.param("'; DROP TABLE scans; --", id="sql"),
        pytest.param("x" * 100_000, id="very_long"),
        pytest.param(HOSTILE, id="control_characters"),
        pytest.param("\U0010ffff%_\\", id="astral_and_wildcards"),
    ],
)
def test_hostile_texts_find_nothing_and_are_kept(where, text):
    async def ask(store):
        assert await store.image(text) is None
        assert await store.images([text]) == {}
        assert await store.report(text) is None
        assert await store.scan(text) is None
        assert await store.scan_of(text) is None
        assert await store.load_token(text) is None
        assert not await store.revoke_token(text)
        assert await store.package_versions(text, text, text) == []
        assert (await store.images_with_package(text, text, text, versions=[text])).items == ()
        assert (await store.tag_history(text, text, text)).items == ()
        assert (await store.deliveries(source=text)).items == ()
        wanted = FindingFilter(
            digest=text, rule_id=text, kinds=(text,), package=text, path_prefix=text
        )
        assert (await store.findings(wanted)).items == ()
        queued = await store.enqueue(request(1, requested_by=text), text)
        assert await store.enqueue(request(1, requested_by=text), text) == Enqueued(
            id=queued.id, is_new=False
        )
        assert (await store.scan(queued.id)).requested_by[:2] == _kept(text)[:2]
        event = Delivery(source=text, event_id=text, outcome=text, detail=text)
        assert await store.record_deliveries([event, event]) == [True, False]
        ((_, made),) = [await store.create_token(text, ["read"])]
        assert made.name == _kept(text)[:255]

    with_store(where, ask)


def _kept(text):
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def test_hostile_names_in_an_image(where):
    names = ["n" * 5_000, "a\0b", HOSTILE, "名" * 3_000]
    image = msgspec.structs.replace(
        MAIN,
        digest=digest(1),
        packages=tuple(
            msgspec.structs.replace(p, name=name, path=name)
            for p, name in zip([MAIN.packages[1]] * len(names), names, strict=True)
        ),
        findings=tuple(
            msgspec.structs.replace(MAIN.findings[0], path=name, fingerprint=f"{n:032x}")
            for n, name in enumerate(names)
        ),
    )
    report = msgspec.structs.replace(REPORT, digest=image.digest, images=(image,), skipped=())
    scan(where, report)

    async def ask(store):
        return (
            [p.path for p in (await store.packages(digest(1))).items],
            [f.finding.path for f in (await store.findings(FindingFilter(digest=digest(1)))).items],
            [len((await store.images_with_package("pypi", "", name)).items) for name in names],
        )

    packages, findings, uses = with_store(where, ask)
    assert packages == [_kept(name) for name in names]
    assert len(findings) == len(names)
    assert uses == [1] * len(names)


# The databases


def test_what_sqlite_wrote_survives_a_power_cut(tmp_path):
    async def ask(store):
        def pragmas(connection):
            names = ("synchronous", "journal_mode", "foreign_keys")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

        return await store._database.write(pragmas)

    assert with_store(tmp_path, ask) == [2, "wal", 1]


def test_writers_wait_for_another_process(tmp_path):
    with_store(tmp_path, lambda store: store.ping())
    other = sqlite3.connect(tmp_path / "scanner.db", isolation_level=None, check_same_thread=False)

    async def ask(store):
        other.execute("BEGIN IMMEDIATE")
        writes = [asyncio.create_task(store.enqueue(request(n), "f")) for n in range(20)]
        await asyncio.sleep(0.05)
        assert (await store.scans()).items == ()  # readers do not wait
        assert not any(write.done() for write in writes)
        other.execute("COMMIT")
        return await asyncio.gather(*writes)

    assert all(answer.is_new for answer in with_store(tmp_path, ask))
    other.close()


def test_a_cancelled_write_harms_no_other(where):
    async def ask(store):
        writes = [asyncio.create_task(store.enqueue(request(n), "f")) for n in range(10)]
        await asyncio.sleep(0)
        for write in writes[::2]:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)
        return [write.result().id for write in writes[1::2]], await store.scans()

    ids, page = with_store(where, ask)
    assert set(ids) <= {s.id for s in page.items}


def test_closed_store(where):
    async def ask():
        store = await open_service_store(where)
        await store.close()
        await store.close()
        for call in (store.ping(), store.enqueue(request(1), "f")):
            with pytest.raises(StoreError, match="closed"):
                await call

    asyncio.run(ask())


def test_a_server_that_was_restarted(postgresql, postgresql_url):
    database = postgresql_url.rpartition("/")[2]

    async def ask(store):
        for call in (store.ping, lambda: store.enqueue(request(1), "f")):
            await asyncio.gather(*(store.ping() for _ in range(8)))
            postgresql.execute(
                "postgres",
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
            )
            await call()

    with_store(postgresql_url, ask)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("", id="by_its_socket"),
        pytest.param("&sslmode=prefer&connect_timeout=5&keepalives_idle=30", id="options_of_libpq"),
        pytest.param(
            "&application_name=mine&options=-c%20work_mem%3D8MB", id="options_of_the_server"
        ),
    ],
)
def test_urls_with_a_query(postgresql, postgresql_url, more):
    url = postgresql.socket_url(postgresql_url.rpartition("/")[2]) + more
    assert with_store(url, lambda store: store.enqueue(request(1), "f")).is_new


def test_no_server():
    async def ask():
        with pytest.raises(StoreError) as caught:
            await open_service_store("postgresql://user:word@127.0.0.1:1/none")
        assert "word" not in str(caught.value)

    asyncio.run(ask())


def test_statements_and_values_stay_out_of_errors(where):
    async def ask(store):
        def spoil(connection):
            connection.exec_driver_sql("DROP TABLE deliveries")

        await store._database.write(spoil)
        with pytest.raises(StoreError) as caught:
            await store.record_deliveries([_delivery("word", "word")])
        assert "word" not in str(caught.value)
        assert "INSERT" not in str(caught.value)

    with_store(where, ask)


def test_it_is_the_same_store_as_that_of_scans(where):
    store = open_store(where)
    store.save_image(CLEAN, REPORT.fingerprint, "r")
    store.close()
    scan(where, single(REPORT, 1))
    report = with_store(where, lambda s: s.report(CLEAN.digest))
    assert report.images == (CLEAN,)
