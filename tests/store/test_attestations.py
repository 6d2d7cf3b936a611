"""Statements in the database: asked for with each scan, replaced, published, renewed; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import update
from support.sample_report import sample_report
from support.service_store import request, scan, single, with_store

from scanner.errors import StoreError
from scanner.ports.attestations import (
    Publication,
    PublicationState,
    RenewalTask,
    Signed,
    StoredStatement,
)
from scanner.store._tables import ATTESTATIONS, ATTESTED_IMAGES, PUBLICATIONS
from scanner.store.retention import collect

REPORT = sample_report()
MAIN = REPORT.images[0]
ONE = single(REPORT)
NOW = datetime.now(UTC).replace(microsecond=0)
SCAN, SPDX = "https://scanner.dev/attestation/scan/v1", "https://spdx.dev/Document"
OURS, THEIRS = "a" * 64, "b" * 64


def statement(predicate_type=SCAN, key_id=OURS, envelope=b"{}", **changes):
    values = {
        "digest": ONE.digest,
        "predicate_type": predicate_type,
        "key_id": key_id,
        "made_at": NOW,
        "expires_at": NOW + timedelta(days=7),
        "signed_at": NOW,
        "envelope": envelope,
    }
    return StoredStatement(**(values | changes))


def signed(*statements, key_id=OURS, **changes):
    values = {
        "key_id": key_id,
        "setup": "s" * 64,
        "basis": "b" * 64,
        "statements": statements,
        "look_again_at": None,
        "renew_at": None,
    }
    return Signed(**(values | changes))


def rescan(where, report=ONE, **more):
    wanted = request(digest=report.digest, force=True, **more)
    return scan(where, report, wanted)


def tasks(where):
    return with_store(where, lambda store: store.signing_tasks())


def record(where, task, what, *, is_published=True):
    return with_store(where, lambda s: s.record_signed(task, what, is_published=is_published))


def known(where, digest=ONE.digest, **more):
    return with_store(where, lambda store: store.attestations(digest, **more))


def make_due(where, table=ATTESTED_IMAGES, **values):
    async def ask(store):
        await store._database.write(lambda c: c.execute(update(table).values(values)))

    with_store(where, ask)


def types(where):
    return [(s.predicate_type, s.key_id) for s in known(where).statements]


def test_a_scan_asks_for_the_statements_of_every_digest(where):
    scan(where, REPORT)
    found = tasks(where)
    assert {one.digest for one in found} == {REPORT.digest, *(i.digest for i in REPORT.images)}
    assert {(one.basis, one.attempts) for one in found} == {("", 0)}
    assert tasks(where) == []  # taken; they come again by themselves
    make_due(where, due_at=1)
    assert {one.attempts for one in tasks(where)} == {1}


def test_of_an_index_of_which_platforms_were_left_out_nothing_is_asked(where):
    wanted = request(digest=REPORT.digest, platforms=("linux/amd64",))
    scan(where, msgspec.structs.replace(REPORT, images=REPORT.images[:1]), wanted)
    assert [one.digest for one in tasks(where)] == [MAIN.digest]


def test_what_is_signed_is_told(where):
    rescan(where)
    (task,) = tasks(where)
    assert known(where).signed_at is None
    envelopes = (statement(envelope=b'{"payload":1}'), statement(SPDX, envelope=b"x" * 100_000))
    assert record(where, task, signed(*envelopes))
    found = known(where, with_envelopes=True)
    assert [msgspec.structs.replace(s, signed_at=NOW) for s in found.statements] == list(envelopes)
    assert (found.error_code, found.signed_at is not None) == ("", True)
    assert found.publications == (
        Publication(
            registry="registry.example",
            repository="team/app",
            state=PublicationState.PENDING,
            attempts=0,
            next_at=found.publications[0].next_at,
        ),
    )
    assert [s.envelope for s in known(where).statements] == [b"", b""]
    assert [s.predicate_type for s in known(where, types=[SPDX]).statements] == [SPDX]
    assert known(where, "sha256:" + "9" * 64).statements == ()


def test_a_new_scan_replaces_what_the_same_key_stated_and_nothing_else(where):
    rescan(where)
    (task,) = tasks(where)
    record(where, task, signed(statement(key_id=THEIRS), key_id=THEIRS))
    for _ in range(3):
        make_due(where, due_at=1)
        (task,) = tasks(where)
        record(where, task, signed(statement(), statement(SPDX)))
    assert types(where) == [(SCAN, OURS), (SCAN, THEIRS), (SPDX, OURS)]
    make_due(where, due_at=1)
    (task,) = tasks(where)
    record(where, task, signed(statement()))  # of the other type there is nothing true to say now
    assert types(where) == [(SCAN, OURS), (SCAN, THEIRS)]


def test_what_others_stated_goes_once_it_has_expired(where):
    rescan(where)
    (task,) = tasks(where)
    gone = statement(key_id=THEIRS, expires_at=NOW - timedelta(days=1))
    record(where, task, signed(gone, key_id=THEIRS))
    assert types(where) == [(SCAN, THEIRS)]  # told, as stale, as long as there is nothing newer
    make_due(where, due_at=1)
    record(where, tasks(where)[0], signed(statement()))
    assert types(where) == [(SCAN, OURS)]


@pytest.mark.parametrize("statements", [(), None], ids=["nothing to state", "unchanged"])
def test_what_was_stated_stays(where, statements):
    rescan(where)
    record(where, tasks(where)[0], signed(statement()))
    make_due(where, due_at=1)
    record(where, tasks(where)[0], signed(statements=statements))
    assert types(where) == [(SCAN, OURS)]


def test_a_scan_that_ends_meanwhile_is_not_passed_over(where):
    rescan(where)
    (task,) = tasks(where)
    rescan(where)
    assert not record(where, task, signed(statement()))
    assert types(where) == []
    (again,) = tasks(where)
    assert again.asked_id != task.asked_id
    assert record(where, again, signed(statement()))


def test_an_image_that_is_gone(where):
    rescan(where)
    (task,) = tasks(where)
    record(where, task, signed(statement()))
    with_store(where, lambda store: store.publishing_tasks())
    days = dict.fromkeys(("scans_days", "images_days", "deliveries_days", "decisions_days"), 1.0)
    collect(where, now=NOW + timedelta(days=40), **days)
    assert not record(where, task, signed(statement()))
    assert known(where).publications == known(where).statements == ()


def test_why_nothing_was_signed_is_told_until_something_is(where):
    rescan(where)
    (task,) = tasks(where)
    with_store(where, lambda s: s.record_unsigned(task, "signing-key", "the KMS does not answer"))
    found = known(where)
    assert (found.error_code, found.error) == ("signing-key", "the KMS does not answer")
    assert record(where, task, signed(statement()))
    assert known(where).error_code == ""


def test_publishing(where):
    rescan(where)
    rescan(where, repository="team/other")
    record(where, tasks(where)[0], signed(statement()))

    async def ask(store):
        one, two = sorted(await store.publishing_tasks(), key=lambda t: t.repository)
        assert await store.publishing_tasks() == []
        later = NOW + timedelta(hours=1)
        await store.record_published(one, PublicationState.PUBLISHED)
        await store.record_published(
            two, PublicationState.REFUSED, next_at=later, code="unauthorized", reason="no"
        )
        return one, two, (await store.attestations(ONE.digest)).publications

    one, two, (first, second) = with_store(where, ask)
    assert (one.repository, two.repository) == ("team/app", "team/other")
    assert (first.state, first.next_at, first.error_code) == ("published", None, "")
    assert first.published_at is not None
    assert (second.state, second.error_code, second.error) == ("refused", "unauthorized", "no")
    assert (second.next_at, second.published_at) == (NOW + timedelta(hours=1), None)
    waiting = with_store(where, lambda store: store.publications_waiting())
    assert waiting == {PublicationState.REFUSED: 1}


def test_what_is_signed_while_it_is_published_is_published_next(where):
    rescan(where)
    record(where, tasks(where)[0], signed(statement()))
    (task,) = with_store(where, lambda store: store.publishing_tasks())
    make_due(where, due_at=1)
    record(where, tasks(where)[0], signed(statement()))
    with_store(where, lambda s: s.record_published(task, PublicationState.PUBLISHED))
    assert [p.state for p in known(where).publications] == ["pending"]
    assert with_store(where, lambda store: store.publishing_tasks()) != []


def test_nothing_new_is_published_only_where_it_never_was(where):
    rescan(where)
    record(where, tasks(where)[0], signed(statement()))
    (task,) = with_store(where, lambda store: store.publishing_tasks())
    with_store(where, lambda s: s.record_published(task, PublicationState.PUBLISHED))
    rescan(where, repository="team/other")
    record(where, tasks(where)[0], signed(statements=None))
    assert [(p.repository, p.state) for p in known(where).publications] == [
        ("team/app", "published"),
        ("team/other", "pending"),
    ]


def test_nothing_is_published_unless_asked(where):
    rescan(where)
    record(where, tasks(where)[0], signed(statement()), is_published=False)
    assert known(where).publications == ()


def test_another_setup(where):
    scan(where, REPORT)
    for task in tasks(where):
        record(where, task, signed(statement()))

    async def walk(store, setup, before):
        count, key = 0, 0
        while (key := await store.ask_outdated(setup, before, after_key=key, limit=3)) is not None:
            count += 1
        return count, len(await store.signing_tasks(100))

    later = NOW + timedelta(hours=1)
    assert with_store(where, lambda s: walk(s, "s" * 64, later)) == (0, 0)
    assert with_store(where, lambda s: walk(s, "t" * 64, NOW - timedelta(hours=1))) == (0, 0)
    assert with_store(where, lambda s: walk(s, "t" * 64, later)) == (2, 4)


def test_renewal(where):
    scan(where, REPORT)

    async def tag(store):
        await store.enqueue(request(digest=REPORT.digest, tag="1"), REPORT.fingerprint)
        for check in await store.tag_checks():
            await store.record_tag(check, REPORT.digest)

    with_store(where, tag)
    for task in tasks(where):
        record(where, task, signed(statement(), renew_at=NOW - timedelta(hours=1)))
    again = NOW + timedelta(hours=1)
    assert with_store(where, lambda store: store.renewal_tasks(again)) == [
        RenewalTask(digest=REPORT.digest, registry="registry.example", repository="team/app")
    ]
    assert with_store(where, lambda store: store.renewal_tasks(again)) == []


def test_a_damaged_statement_is_told(where):
    rescan(where)
    record(where, tasks(where)[0], signed(statement()))
    make_due(where, ATTESTATIONS, envelope=b"no frame")
    with pytest.raises(StoreError, match="damaged"):
        known(where, with_envelopes=True)


def test_a_row_that_is_taken_and_forgotten_comes_again(where):
    """Whoever took it was killed."""
    rescan(where)
    record(where, tasks(where)[0], signed(statement()))
    (first,) = with_store(where, lambda store: store.publishing_tasks())
    make_due(where, PUBLICATIONS, due_at=1)
    (second,) = with_store(where, lambda store: store.publishing_tasks())
    assert (first.asked_id, first.attempts + 1) == (second.asked_id, second.attempts)
