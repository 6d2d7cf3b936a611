from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from support import service_store
from support.sample_report import sample_report
from support.service_store import (
    FINGERPRINT,
    digest,
    enqueue_all,
    lease_next,
    request,
    scan,
    single,
    with_store,
)

from scanner.errors import InvalidReferenceError
from scanner.ports import (
    Enqueued,
    JobState,
    Priority,
    QueueCounts,
)

REPOSITORY = Path(__file__).parents[2]
REPORT = sample_report()
NAMES = ("registry.example", "team/app")


def enqueue(where, *requests, fingerprint=FINGERPRINT):
    return with_store(where, lambda store: store.enqueue_many(requests, fingerprint))


# Queueing


def test_a_queued_scan_is_as_it_was_asked_for(where):
    asked = request(
        1, tag="v1", platforms=("linux/arm64", "linux/amd64", "linux/arm64"),
        priority=Priority.WAITING, requested_by="webhook/harbor",
    )  # fmt: skip
    before = datetime.now(UTC) - timedelta(milliseconds=1)

    async def ask(store):
        answer = await store.enqueue(asked, FINGERPRINT)
        return answer, await store.scan(answer.id), await store.scan_of(digest(1))

    answer, record, newest = with_store(where, ask)
    assert answer.is_new
    assert newest == record
    assert before <= record.created_at <= datetime.now(UTC)
    assert record.not_before_at == record.created_at
    unchanged = {"id", "created_at", "not_before_at"}
    assert {n: v for n, v in msgspec.structs.asdict(record).items() if n not in unchanged} == {
        "reference": f"registry.example/team/app:v1@{digest(1)}",
        "registry": "registry.example",
        "repository": "team/app",
        "tag": "v1",
        "digest": digest(1),
        "platforms": ("linux/amd64", "linux/arm64"),
        "state": JobState.QUEUED,
        "priority": 0,
        "requested_by": "webhook/harbor",
        "attempts": 0,
        "stage": "",
        "progress": {},
        "error_code": "",
        "error": "",
        "started_at": None,
        "finished_at": None,
        "leased_by": "",
        "fingerprint": "",
        "cancel_requested": False,
    }


@pytest.mark.parametrize(
    ("second", "is_same"),
    [
        pytest.param(request(1), True, id="again"),
        pytest.param(request(1, tag="other"), True, id="tag_beside_the_digest"),
        pytest.param(request(1, force=True), True, id="forced"),
        pytest.param(request(1, requested_by="somebody"), True, id="by_another"),
        pytest.param(request(2), False, id="digest"),
        pytest.param(request(1, repository="team/other"), False, id="repository"),
        pytest.param(request(1, registry="registry.example:5000"), False, id="registry"),
        pytest.param(request(1, platforms=("linux/arm64",)), False, id="platforms"),
        pytest.param(request(tag="v1"), False, id="tag_only"),
    ],
)
def test_one_that_waits_or_runs_answers(where, second, is_same):
    (first,) = enqueue(where, request(1))
    (answer,) = enqueue(where, second)
    assert (answer.is_new, answer.id == first.id) == (not is_same, is_same)
    lease_next(where)
    assert enqueue(where, request(1)) == [Enqueued(id=first.id, is_new=False)]


def test_a_batch_is_answered_in_its_order(where):
    (known,) = enqueue(where, request(2))
    batch = [request(n) for n in (3, 1, 2, 3, 1)]
    answers = enqueue(where, *batch)
    ids = {n: next(a.id for a, r in zip(answers, batch, strict=True) if r == request(n)) for n in (1, 2, 3)}  # fmt: skip
    assert [a.id for a in answers] == [ids[n] for n in (3, 1, 2, 3, 1)]
    assert [a.is_new for a in answers] == [True, True, False, False, False]
    assert ids[2] == known.id
    assert len(set(ids.values())) == 3
    assert enqueue(where) == []


def test_many_more_than_one_statement_takes(where):
    answers = enqueue(where, *(request(n) for n in range(1_300)))
    assert len({a.id for a in answers if a.is_new}) == 1_300
    again = enqueue(where, *(request(n) for n in reversed(range(1_300))))
    assert again == [Enqueued(id=a.id, is_new=False) for a in reversed(answers)]


def test_the_most_urgent_request_counts(where):
    async def ask(store):
        (a, _) = await store.enqueue_many(
            [request(1, priority=Priority.BACKGROUND), request(1, priority=Priority.PUSHED)], "f"
        )
        seen = [(await store.scan(a.id)).priority]
        for priority in (Priority.BACKGROUND, Priority.WAITING, Priority.PUSHED):
            await store.enqueue(request(1, priority=priority), "f")
            seen.append((await store.scan(a.id)).priority)
        return seen

    assert with_store(where, ask) == [1, 1, 0, 0]


def _complete(**changes):
    return single(REPORT, 1, **changes)


@pytest.mark.parametrize(
    ("report", "wanted", "fingerprint", "is_answered"),
    [
        pytest.param(_complete(), {}, REPORT.fingerprint, True, id="complete"),
        pytest.param(_complete(), {"tag": "v1"}, REPORT.fingerprint, True, id="with_its_tag"),
        pytest.param(_complete(), {"force": True}, REPORT.fingerprint, False, id="forced"),
        pytest.param(_complete(), {}, "tomorrow's", False, id="other_analyzers"),
        pytest.param(_complete(), {"repository": "x/y"}, REPORT.fingerprint, False, id="elsewhere"),
        pytest.param(
            _complete(), {"platforms": ("linux/arm64",)}, REPORT.fingerprint, False, id="platforms"
        ),
        pytest.param(single(REPORT, 0), {}, REPORT.fingerprint, False, id="partial"),
    ],
)
def test_one_that_looked_at_everything_answers(where, report, wanted, fingerprint, is_answered):
    done = scan(where, report)
    asked = request(digest=report.digest, **wanted)
    (answer,) = enqueue(where, asked, fingerprint=fingerprint)
    assert (answer.is_new, answer.id == done) == (not is_answered, is_answered)


def test_a_scan_of_a_tag_answers_for_the_digest_it_found(where):
    report = _complete()
    done = scan(where, report, request(tag="v1"))
    assert enqueue(where, request(digest=report.digest), fingerprint=report.fingerprint) == [
        Enqueued(id=done, is_new=False)
    ]
    (by_tag,) = enqueue(where, request(tag="v1"), fingerprint=report.fingerprint)
    assert by_tag.is_new


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({}, id="neither_tag_nor_digest"),
        pytest.param({"tag": "t" * 129}, id="long_tag"),
        pytest.param({"digest": "sha512:" + "0" * 154}, id="long_digest"),
        pytest.param({"digest": digest(1), "registry": "r" * 256}, id="long_registry"),
        pytest.param({"digest": digest(1), "repository": "r" * 256}, id="long_repository"),
        pytest.param(
            {"digest": digest(1), "platforms": tuple(f"linux/{n}" for n in range(200))},
            id="many_platforms",
        ),
    ],
)
def test_what_cannot_be_queued_spoils_nothing(where, bad):
    async def ask(store):
        results = await asyncio.gather(
            store.enqueue(request(1), "f"),
            store.enqueue(request(**bad), "f"),
            store.enqueue_many([request(2), request(**bad)], "f"),
            store.enqueue(request(3), "f"),
            return_exceptions=True,
        )
        return results, await store.scans()

    results, page = with_store(where, ask)
    assert [type(r) for r in results] == [
        Enqueued, InvalidReferenceError, InvalidReferenceError, Enqueued,
    ]  # fmt: skip
    assert sorted(s.digest for s in page.items) == [digest(1), digest(3)]


def test_tasks_and_processes_queue_each_digest_once(where):
    count = 500
    with_store(where, lambda store: store.ping())
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    command = [sys.executable, service_store.__file__, "enqueue", where, str(count)]
    others = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    made = with_store(where, lambda store: enqueue_all(store, count))
    for other in others:
        made += other.communicate(timeout=120)[0].split()
    assert [other.returncode for other in others] == [0, 0]

    async def ask(store):
        counts = await store.queue_counts()
        page = await store.scans(limit=1_000)
        return counts.counts[JobState.QUEUED], page.items, await store.tag_checks(1_000)

    queued, records, checks = with_store(where, ask)
    assert queued == count
    assert Counter(made) == Counter(record.id for record in records)
    assert {record.digest for record in records} == {digest(n) for n in range(count)}
    assert {check.tag for check in checks} == {f"v{n}" for n in range(5)}


# Scans and the queue


def test_scans_come_newest_first_and_pages_hold_still(where):
    async def ask(store):
        ids = [(await store.enqueue(request(n), "f")).id for n in range(7)]
        pages = [await store.scans(limit=3)]
        while pages[-1].next:
            await store.enqueue(request(100 + len(pages)), "f")  # newer: no page to come shows it
            pages.append(await store.scans(after=pages[-1].next, limit=3))
        return ids, pages

    ids, pages = with_store(where, ask)
    assert [[s.id for s in page.items] for page in pages] == [ids[6:3:-1], ids[3:0:-1], ids[:1]]


def test_scans_of_a_state(where):
    done = scan(where, REPORT)
    enqueue(where, request(2), request(3))
    running = lease_next(where).scan.id

    async def ask(store):
        return {s: [r.id for r in (await store.scans(state=s)).items] for s in JobState}

    found = with_store(where, ask)
    assert {state: ids for state, ids in found.items() if state is not JobState.QUEUED} == {
        JobState.SCANNING: [running],
        JobState.COMPLETE: [],
        JobState.PARTIAL: [],
        JobState.FAILED: [done],
        JobState.CANCELLED: [],
    }
    assert len(found[JobState.QUEUED]) == 1


def test_newest_scan_of_a_digest(where):
    first = scan(where, REPORT)
    (second,) = enqueue(where, request(digest=REPORT.digest))

    async def ask(store):
        return (await store.scan_of(REPORT.digest)).id, await store.scan_of(digest(99))

    assert with_store(where, ask) == (second.id, None)
    assert first != second.id


def test_finished_scans_come_as_they_ended(where):
    began = datetime.now(UTC) - timedelta(seconds=1)
    ended = [scan(where, single(REPORT, n)) for n in range(3)]
    enqueue(where, request(1))

    async def ask(store):
        every = await store.finished_scans(began)
        later = await store.finished_scans(every[1].finished_at)
        none = await store.finished_scans(datetime.now(UTC) + timedelta(minutes=1))
        return every, later, none, await store.finished_scans(began, limit=1)

    every, later, none, first = with_store(where, ask)
    assert [s.id for s in every] == ended
    assert [s.id for s in later][-2:] == ended[1:]
    assert none == []
    assert [s.id for s in first] == ended[:1]


def test_cancel(where):
    running, waiting = (a.id for a in enqueue(where, request(1, priority=Priority.WAITING), request(2)))  # fmt: skip
    lease_next(where)

    async def ask(store):
        cancelled = [await store.cancel(i) for i in (waiting, running, waiting, "unknown", "\0")]
        return cancelled, await store.scan(waiting), await store.scan(running)

    cancelled, one, other = with_store(where, ask)
    assert cancelled == [True, True, False, False, False]
    assert (one.state, one.finished_at is not None) == (JobState.CANCELLED, True)
    assert (other.state, other.cancel_requested) == (JobState.SCANNING, True)
    (again,) = enqueue(where, request(2))
    assert again.is_new


def test_queue_counts(where):
    empty = with_store(where, lambda store: store.queue_counts())
    assert empty == QueueCounts(counts=dict.fromkeys(JobState, 0), age_seconds=0.0)
    scan(where, REPORT)
    scan(where, _complete())
    enqueue(where, *(request(n) for n in range(1, 5)))
    lease_next(where)
    counts = with_store(where, lambda store: store.queue_counts())
    expected = {JobState.QUEUED: 3, JobState.SCANNING: 1, JobState.FAILED: 1, JobState.COMPLETE: 1}
    assert counts.counts == dict.fromkeys(JobState, 0) | expected
    assert 0 <= counts.age_seconds < 60


# Tags


def test_a_told_tag_is_checked_and_recorded(where):
    async def ask(store):
        await store.enqueue_many([request(1, tag="b"), request(2, tag="a"), request(3)], "f")
        first = await store.tag_checks(1)
        rest = await store.tag_checks()
        none = await store.tag_checks()
        for check in (*first, *rest):
            await store.record_tag(check, digest(1))
        return first, rest, none, [await store.tag_history(*NAMES, tag) for tag in "abc"]

    first, rest, none, history = with_store(where, ask)
    assert sorted(c.tag for c in (*first, *rest)) == ["a", "b"]
    assert [(c.registry, c.repository, c.attempts) for c in first] == [(*NAMES, 0)]
    assert none == []
    assert [[(e.digest, e.replaced_at) for e in page.items] for page in history] == [
        [(digest(1), None)], [(digest(1), None)], [],
    ]  # fmt: skip


def test_a_tag_over_time(where):
    async def ask(store):
        for led_to in (digest(1), digest(1), digest(2), "", "", digest(1)):
            await store.enqueue(request(9, tag="v1"), "f")
            (check,) = await store.tag_checks()
            await store.record_tag(check, led_to)
        newest = await store.tag_history(*NAMES, "v1", limit=2)
        return newest, await store.tag_history(*NAMES, "v1", after=newest.next)

    newest, oldest = with_store(where, ask)
    entries = [*newest.items, *oldest.items]
    assert [e.digest for e in entries] == [digest(1), digest(2), digest(1)]
    assert [e.replaced_at is None for e in entries] == [True, False, False]
    assert entries[2].replaced_at == entries[1].seen_at
    assert oldest.next == ""


def test_what_is_told_while_a_tag_is_checked_is_checked_again(where):
    async def ask(store):
        await store.enqueue(request(1, tag="v1"), "f")
        (check,) = await store.tag_checks()
        await store.enqueue(request(2, tag="v1"), "f")
        await store.record_tag(check, digest(1))
        (again,) = await store.tag_checks()
        await store.record_tag(again, digest(2))
        await store.record_tag(again, digest(2))
        return check, again, await store.tag_checks()

    check, again, none = with_store(where, ask)
    assert check.told_id != again.told_id
    assert none == []


def test_a_tag_told_while_its_scan_runs_is_checked(where):
    enqueue(where, request(tag="v1"))
    assert with_store(where, lambda store: store.tag_checks()) == []
    lease_next(where)
    enqueue(where, request(tag="v1"))
    (check,) = with_store(where, lambda store: store.tag_checks())
    assert check.tag == "v1"


def test_many_record_one_tag_at_once(where):
    async def ask(store):
        await store.enqueue(request(1, tag="v1"), "f")
        (check,) = await store.tag_checks()
        await asyncio.gather(*(store.record_tag(check, digest(n % 3)) for n in range(12)))
        return (await store.tag_history(*NAMES, "v1")).items

    entries = with_store(where, ask)
    assert [e.replaced_at is None for e in entries] == [True] + [False] * (len(entries) - 1)
    assert all(a.digest != b.digest for a, b in pairwise(entries))
