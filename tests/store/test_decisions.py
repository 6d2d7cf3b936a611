from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.service_store import digest, with_store

from scanner.errors import InvalidReferenceError
from scanner.model import Decision
from scanner.ports.admission import AdmissionDecision, Cause, DecidedImage, DecisionFilter
from scanner.store.retention import collect

IMAGES = (
    DecidedImage(image="reg.example/app:1", digest=digest(1), decision=Decision.ALLOW),
    DecidedImage(image="reg.example/b:\0", decision=Decision.DENY, reason="no such tag"),
)
DENIED = AdmissionDecision(
    protocol="kubernetes",
    namespace="prod",
    subject="Pod/web",
    operation="CREATE",
    user="alice",
    requested_by="token/cluster",
    request_id="705ab4f5",
    decision=Decision.DENY,
    cause=Cause.POLICY,
    reason="no such tag",
    policy_digest=digest(9),
    images=IMAGES,
)
ALLOWED = AdmissionDecision(
    protocol="images", namespace="test", decision=Decision.ALLOW, cause=Cause.NOTHING
)


def record(where, *decisions):
    return with_store(where, lambda store: store.record_decisions(decisions))


def found(where, **wanted):
    page = with_store(where, lambda store: store.decisions(DecisionFilter(**wanted)))
    return [one.id for one in page.items]


def test_comes_back_as_it_was(where):
    began = datetime.now(UTC) - timedelta(seconds=1)
    (made,) = record(where, DENIED)
    (got,) = with_store(where, lambda store: store.decisions(DecisionFilter())).items
    assert began < got.decided_at < datetime.now(UTC) + timedelta(seconds=1)
    assert (got.id, got.images[1].image) == (made, "reg.example/b:\ufffd")
    names = ("protocol", "namespace", "subject", "operation", "user", "requested_by", "request_id")
    names += ("decision", "cause", "reason", "policy_digest")
    assert [getattr(got, n) for n in names] == [getattr(DENIED, n) for n in names]
    assert (got.images[0], len(got.images)) == (IMAGES[0], 2)


def test_filters(where):
    denied, allowed = record(where, DENIED, ALLOWED)
    assert found(where) == [allowed, denied]
    assert found(where, decision=Decision.DENY) == [denied]
    assert found(where, namespace="test") == [allowed]
    assert found(where, protocol="kubernetes") == [denied]
    assert found(where, digest=digest(1)) == [denied]
    assert found(where, digest=digest(2)) == []
    assert found(where, decision=Decision.ALLOW, namespace="prod") == []


def test_pages(where):
    ids = record(where, *[ALLOWED] * 5)

    async def walk(store):
        pages, after = [], ""
        while True:
            page = await store.decisions(DecisionFilter(), after=after, limit=2)
            pages.append([one.id for one in page.items])
            after = page.next
            if not after:
                return pages

    pages = with_store(where, walk)
    assert [one for page in pages for one in page] == ids[::-1]
    assert [len(page) for page in pages] == [2, 2, 1]
    with pytest.raises(InvalidReferenceError):
        with_store(where, lambda store: store.decisions(DecisionFilter(), after="x"))


def test_nothing_to_record(where):
    assert record(where) == []


def test_retention(where):
    record(where, DENIED, ALLOWED)
    kept = {"scans_days": 0.0, "images_days": 0.0, "deliveries_days": 0.0}
    later = datetime.now(UTC) + timedelta(days=40)
    assert collect(where, now=later, decisions_days=0.0, **kept)["decisions"] == 0
    assert collect(where, now=later, decisions_days=41.0, **kept)["decisions"] == 0
    assert collect(where, now=later, decisions_days=30.0, **kept)["decisions"] == 2
    assert found(where) == []
