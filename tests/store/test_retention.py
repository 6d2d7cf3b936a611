from __future__ import annotations

import hashlib
import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import func, select, update
from support.sample_report import sample_report
from support.service_store import digest, lease_next, request, scan, single, with_store
from support.store_process import layer

from scanner.ports import Delivery, JobState
from scanner.store import open_store
from scanner.store._tables import METADATA
from scanner.store.retention import collect

REPORT = sample_report()
MAIN, CLEAN, FAILED = REPORT.images
LATER = datetime.now(UTC) + timedelta(days=40)
NOTHING = dict.fromkeys(
    (
        "images",
        "scans",
        "deliveries",
        "decisions",
        "image_reports",
        "layer_reports",
        "packages",
        "tokens",
    ),
    0,
)


def let_go(where, *, now=LATER, **days):
    """Return what went, without the zeros."""
    wanted = dict.fromkeys(("scans_days", "images_days", "deliveries_days", "decisions_days"), 30.0)
    wanted |= days
    counts = collect(where, now=now, **wanted)
    assert counts.keys() == NOTHING.keys()
    return {name: count for name, count in counts.items() if count}


def rows(where):
    """Return how many rows each table has, without the empty ones."""

    def ask(connection):
        counts = {
            name: connection.execute(select(func.count()).select_from(table)).scalar()
            for name, table in METADATA.tables.items()
        }
        return {name: count for name, count in counts.items() if count}

    return with_store(where, lambda store: store._database.read(ask))


def tag(where, name, led_to):
    async def ask(store):
        await store.enqueue(request(digest=led_to, tag=name), REPORT.fingerprint)
        for check in await store.tag_checks():
            await store.record_tag(check, led_to)

    with_store(where, ask)


def image(where, one):
    return with_store(where, lambda store: store.image(one))


def test_nothing_goes_before_its_time(where):
    scan(where, REPORT)
    before = rows(where)
    assert let_go(where, now=datetime.now(UTC) + timedelta(days=1.5)) == {}
    assert rows(where) == before


def test_an_image_goes_with_all_that_only_it_needed(where):
    scan(where, single(REPORT, 0))
    assert rows(where)["findings"] == len(MAIN.findings)
    gone = let_go(where)
    assert gone == {"images": 1, "scans": 1, "image_reports": 1, "packages": 2}
    assert rows(where) == {}


def test_an_index_goes_with_its_images(where):
    scan(where, REPORT)
    assert let_go(where)["images"] == 4
    assert rows(where) == {}


def test_images_are_kept_for_ever_by_default(where):
    scan(where, REPORT)
    before = rows(where)
    assert let_go(where, images_days=0) == {}
    assert rows(where) == before


def test_what_a_tag_leads_to_stays(where):
    scan(where, single(REPORT, 0))
    tag(where, "v1", MAIN.digest)
    with_store(where, _cancel_all)
    assert "images" not in let_go(where)
    tag(where, "v1", digest(77))
    with_store(where, _cancel_all)
    assert let_go(where)["images"] == 1
    history = with_store(where, lambda s: s.tag_history("registry.example", "team/app", "v1"))
    assert len(history.items) == 2


async def _cancel_all(store):
    for record in (await store.scans(state=JobState.QUEUED)).items:
        await store.cancel(record.id)


def test_the_images_of_a_tagged_index_stay(where):
    scan(where, REPORT, request(digest=REPORT.digest, tag="v1"))
    with_store(where, lambda store: _record_all(store, REPORT.digest))
    before = rows(where)
    assert let_go(where) == {}
    assert rows(where) == before
    assert with_store(where, lambda s: s.report(REPORT.digest)).images == REPORT.images


async def _record_all(store, led_to):
    for check in await store.tag_checks():
        await store.record_tag(check, led_to)


@pytest.mark.parametrize("is_running", [False, True], ids=["waits", "runs"])
def test_what_is_being_scanned_again_stays(where, is_running):
    scan(where, single(REPORT, 0))
    again = with_store(where, lambda s: s.enqueue(request(digest=MAIN.digest), "newer"))
    assert again.is_new
    if is_running:
        lease_next(where)
    assert let_go(where) == {"scans": 1}
    assert image(where, MAIN.digest) is not None


def test_an_image_that_was_scanned_again_stays(where):
    scan(where, single(REPORT, 0))
    _age(where, 40)
    scan(where, single(REPORT, 0, fingerprint="newer"), request(digest=MAIN.digest, force=True))
    assert let_go(where, now=datetime.now(UTC) + timedelta(days=3)).keys() == {"scans", "image_reports"}  # fmt: skip
    report = with_store(where, lambda s: s.report(MAIN.digest))
    assert report.fingerprint == "newer"


def _age(where, days):
    """Make everything older."""

    def ask(connection):
        for table in METADATA.tables.values():
            for column in table.c:
                if column.name.endswith("_at") and column.type.python_type is int:
                    older = {column.name: column - days * 86_400_000}
                    connection.execute(update(table).values(older))
                elif column.name == "created_at":
                    connection.execute(update(table).values(created_at="2020-01-01T00:00:00Z"))

    with_store(where, lambda store: store._database.write(ask))


def test_the_newest_scan_of_each_known_digest_stays(where):
    ids = [
        scan(where, single(REPORT, 1), request(digest=CLEAN.digest, force=True)) for _ in range(3)
    ]
    unknown = with_store(where, lambda s: s.enqueue(request(5), "f")).id
    with_store(where, lambda store: store.cancel(unknown))
    waiting = with_store(where, lambda s: s.enqueue(request(6), "f")).id
    assert let_go(where, images_days=0) == {"scans": 3}
    left = with_store(where, lambda store: store.scans()).items
    assert [record.id for record in left] == [waiting, ids[-1]]


def test_what_was_let_go_of_is_scanned_again(where):
    report = single(REPORT, 1)
    scan(where, report)
    let_go(where, scans_days=0)
    answer = with_store(where, lambda s: s.enqueue(request(digest=CLEAN.digest), report.fingerprint))  # fmt: skip
    assert answer.is_new


def test_layer_reports(where):
    scan(where, single(REPORT, 0))
    used, unused = MAIN.layers[0].digest, digest(1)
    store = open_store(where)
    for one, fingerprint in ((used, "old"), (used, "other"), (unused, "old")):
        store.save_layer(layer(one), fingerprint)
    store.close()
    soon = datetime.now(UTC) + timedelta(days=6)
    assert let_go(where, now=soon, images_days=0) == {}
    _age(where, 0)
    store = open_store(where)
    store.save_layer(layer(used), "new")
    assert let_go(where, images_days=0) == {"layer_reports": 3}
    kept = {f: store.load_layer(used, f) is not None for f in ("old", "other", "new")}
    assert kept == {"old": False, "other": False, "new": True}
    assert store.load_layer(unused, "old") is None
    store.close()


def test_image_reports_that_no_image_refers_to(where):
    store = open_store(where)
    store.save_image(CLEAN, REPORT.fingerprint, "r")
    store.save_image(MAIN, "older analyzers", "r")
    scan(where, single(REPORT, 1))
    assert let_go(where, images_days=0) == {"image_reports": 1}
    assert store.load_image(CLEAN.digest, REPORT.fingerprint) == CLEAN
    assert store.load_image(MAIN.digest, "older analyzers") is None
    store.close()


def test_deliveries(where):
    events = [Delivery(source="s", event_id=str(n), outcome="queued") for n in range(1_200)]
    with_store(where, lambda store: store.record_deliveries(events))
    assert let_go(where, deliveries_days=0) == {}
    assert let_go(where, now=datetime.now(UTC) + timedelta(days=29)) == {}
    assert let_go(where) == {"deliveries": 1_200}


def test_tokens_that_nobody_can_use(where):
    async def make(store):
        _, revoked = await store.create_token("revoked", ["read"])
        await store.revoke_token(revoked.id)
        past = datetime.now(UTC) - timedelta(days=1)
        await store.create_token("expired", ["read"], expires_at=past)
        await store.create_token("expires", ["read"], expires_at=LATER)
        text, _ = await store.create_token("good", ["read"])
        return hashlib.sha256(text.encode()).hexdigest()

    hashed = with_store(where, make)
    assert let_go(where) == {"tokens": 2}
    assert with_store(where, lambda store: store.load_token(hashed)).name == "good"


def test_packages_that_another_image_holds_stay(where):
    scan(where, single(REPORT, 0))
    other = msgspec.structs.replace(MAIN, digest=digest(1), packages=MAIN.packages[:1], findings=())
    scan(where, msgspec.structs.replace(REPORT, digest=other.digest, images=(other,), skipped=()))
    tag(where, "v1", digest(1))
    with_store(where, _cancel_all)
    gone = let_go(where)
    assert (gone["images"], gone["packages"]) == (1, 1)
    assert len(with_store(where, lambda s: s.packages(digest(1))).items) == 1


def test_many(where):
    reports = [
        msgspec.structs.replace(
            REPORT, digest=digest(n), skipped=(), images=(msgspec.structs.replace(CLEAN, digest=digest(n)),)
        )
        for n in range(45)
    ]  # fmt: skip
    for report in reports:
        scan(where, report)
    tag(where, "v1", digest(7))
    with_store(where, _cancel_all)
    assert let_go(where)["images"] == 44
    assert image(where, digest(7)) is not None


def test_scans_go_on_while_it_works(where):
    """What is queued, scanned and tagged meanwhile is there afterwards, and so is what it found."""
    for number in range(60):
        scan(where, _clean(number))
    failures = []

    def work():
        try:
            for number in range(100, 115):
                scan(where, _clean(number), request(number, tag=f"v{number}"))
                with_store(where, lambda store, n=number: _record_all(store, digest(n)))
                scan(where, _clean(number - 60), request(number - 60, force=True))
        except BaseException as error:
            failures.append(error)
            raise

    worker = threading.Thread(target=work)
    worker.start()
    while worker.is_alive():
        let_go(where, now=datetime.now(UTC) + timedelta(days=30, seconds=-0.2))
    worker.join()
    assert failures == []
    for number in range(100, 115):
        assert image(where, digest(number)) is not None


def _clean(number):
    one = msgspec.structs.replace(CLEAN, digest=digest(number), packages=MAIN.packages)
    return msgspec.structs.replace(REPORT, digest=one.digest, images=(one,), skipped=())


def test_sqlite_is_whole_afterwards(tmp_path):
    scan(str(tmp_path), REPORT)
    let_go(str(tmp_path))
    connection = sqlite3.connect(tmp_path / "scanner.db")
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
