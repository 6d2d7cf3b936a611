"""What is signed when, published how, and scanned again in time: on a real store, with the loops' own steps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import update
from support.policies import policy
from support.sample_report import sample_report
from support.service_store import request, scan, single, with_store
from support.signing import setup, sign_all

from scanner.errors import (
    NotFoundError,
    SigningKeyError,
    UnauthorizedError,
    UpstreamError,
)
from scanner.model import ScanState
from scanner.ports.attestations import PublicationState
from scanner.service.attest import renew, run_signing
from scanner.service.attest_publish import PublishOptions, run_publishing
from scanner.store._tables import ATTESTED_IMAGES
from scanner.store.service import open_service_store

NOW = datetime.now(UTC).replace(microsecond=0)
SAMPLE = msgspec.structs.replace(sample_report(), started_at=NOW.isoformat(), seconds=0.0)
ONE = single(SAMPLE)
DAY = timedelta(days=1)
KEY = setup().signer.key.id


def have_scanned(where, report=ONE):
    return scan(where, report, request(digest=report.digest, force=True))


def signed(where, digest=ONE.digest, **more):
    return with_store(where, lambda store: sign_all(store, **more)).get(digest)


def look_again(where):
    async def ask(store):
        due = update(ATTESTED_IMAGES).values(due_at=1)
        await store._database.write(lambda c: c.execute(due))

    with_store(where, ask)


def known(where, digest=ONE.digest):
    return with_store(where, lambda store: store.attestations(digest))


def test_what_is_the_same_is_not_signed_again(tmp_path):
    have_scanned(tmp_path)
    first = signed(tmp_path)
    assert len(first.statements) > 2
    assert first.renew_at == NOW + timedelta(days=5.25)
    look_again(tmp_path)
    assert signed(tmp_path, now=datetime.now(UTC) + DAY).statements is None


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": policy("rules: []")},
        {"valid": timedelta(days=8)},
        {"predicates": setup().predicates[:2]},
    ],
    ids=["policy", "validity", "predicates"],
)
def test_another_setup_is_signed_anew(tmp_path, changes):
    have_scanned(tmp_path)
    signed(tmp_path)
    look_again(tmp_path)
    assert signed(tmp_path, **changes).statements


def test_a_waiver_that_ends_changes_what_is_stated(tmp_path):
    finding = ONE.images[0].findings[0]
    text = (
        "rules: [{name: all, action: deny, match: {severity: info}}]\n"
        f"waivers: [{{finding: {finding.fingerprint}, reason: r, owner: o, "
        f"expires: {(NOW + 3 * DAY).date()}}}]\n"
    )
    chosen = policy(text)
    have_scanned(tmp_path)
    first = signed(tmp_path, policy=chosen)
    assert first.look_again_at <= NOW + 2 * DAY
    look_again(tmp_path)
    assert signed(tmp_path, policy=chosen, now=NOW + DAY).statements is None
    look_again(tmp_path)
    assert signed(tmp_path, policy=chosen, now=NOW + 5 * DAY).statements


def test_a_scan_that_counts_no_more_is_not_signed_but_done_again(tmp_path):
    have_scanned(tmp_path, msgspec.structs.replace(ONE, started_at=(NOW - 8 * DAY).isoformat()))
    done = signed(tmp_path)
    assert (done.statements, done.look_again_at) == ((), None)
    assert done.renew_at <= datetime.now(UTC)


def test_of_what_could_not_be_scanned_nothing_is_stated(tmp_path):
    failed = single(SAMPLE, 2)
    assert failed.state is ScanState.FAILED
    have_scanned(tmp_path, failed)
    done = signed(tmp_path, failed.digest)
    assert (done.statements, done.look_again_at, done.renew_at) == ((), None, None)


def test_renewal_queues_what_a_tag_leads_to(tmp_path):
    have_scanned(tmp_path)

    async def use(store):
        queued = await store.enqueue(request(digest=ONE.digest, tag="1"), ONE.fingerprint)
        await store.cancel(queued.id)
        for check in await store.tag_checks():
            await store.record_tag(check, ONE.digest)
        await sign_all(store, valid=timedelta(days=100))
        due = update(ATTESTED_IMAGES).values(renew_at=1)
        counts = []
        for is_allowed in (False, True):
            await store._database.write(lambda c: c.execute(due))
            counts.append(
                await renew(
                    store, store, ONE.fingerprint, is_allowed=lambda _h, a=is_allowed: a, again=DAY
                )
            )
        return counts, await store.scan_of(ONE.digest)

    counts, found = with_store(tmp_path, use)
    assert counts == [0, 1]
    assert (found.state, found.requested_by, found.priority) == ("queued", "attest", 2)


def signing(where, current, stop):
    """Run the loop until ``stop(outcomes)``; return what was told."""
    outcomes: list[str] = []

    async def use(store):
        enough = asyncio.Event()

        def tell(outcome):
            outcomes.append(outcome)
            if stop(outcomes):
                enough.set()

        loop = asyncio.create_task(run_signing(store, current, is_published=False, tell=tell))
        await asyncio.wait_for(enough.wait(), 30)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    with_store(where, use)
    return outcomes


def test_the_loop_signs_what_is_due_and_everything_for_another_policy(tmp_path):
    have_scanned(tmp_path, SAMPLE)
    policies = iter([policy("rules: []")])
    chosen = [setup()]

    def current():
        return chosen[0]

    def stop(outcomes):
        if outcomes.count("signed") == 3 and (new := next(policies, None)):
            chosen[0] = setup(policy=new)
        return outcomes.count("signed") == 6

    assert sorted(set(signing(tmp_path, current, stop))) == ["nothing", "signed"]


def test_two_services_on_one_database_sign_each_image_once(where):
    image = ONE.images[0]
    for number in range(6):
        digest = f"sha256:{number:064x}"
        one = msgspec.structs.replace(image, digest=digest)
        have_scanned(where, msgspec.structs.replace(ONE, digest=digest, images=(one,)))
    told: list[str] = []
    chosen = setup()

    async def use(store):
        done = asyncio.Event()

        def tell(outcome):
            told.append(outcome)
            if len(told) == 6:
                done.set()

        others = await open_service_store(where)
        try:
            loops = [
                asyncio.create_task(run_signing(one, lambda: chosen, is_published=True, tell=tell))
                for one in (store, others)
            ]
            await asyncio.wait_for(done.wait(), 30)
            await asyncio.sleep(1.5)  # a look more of each
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        finally:
            await others.close()
        return await store.publishing_tasks(100)

    tasks = with_store(where, use)
    assert told == ["signed"] * 6
    assert len({task.digest for task in tasks}) == len(tasks) == 6


class BrokenSigner:
    """A KMS that does not answer."""

    key = setup().signer.key

    def sign(self, _message):
        raise SigningKeyError("awskms:x", "does not answer")


def test_a_key_that_does_not_sign_is_told_of_and_tried_again(tmp_path):
    have_scanned(tmp_path)
    broken = setup(signer=BrokenSigner())
    assert signing(tmp_path, lambda: broken, bool) == ["failed"]
    found = known(tmp_path)
    assert (found.error_code, "does not answer" in found.error) == ("signing-key-error", True)
    look_again(tmp_path)
    assert signed(tmp_path).statements
    assert known(tmp_path).error == ""


def publishing(where, publish, *, allowed=True, key_id=KEY, options=None):
    """Run the loop until one publication was tried; return what was told and what is known then."""
    told: list[PublicationState] = []

    async def use(store):
        done = asyncio.Event()

        def tell(state):
            told.append(state)
            done.set()

        loop = asyncio.create_task(
            run_publishing(
                store, publish, key_id, is_allowed=lambda _h: allowed, tell=tell,
                options=options or PublishOptions(poll_seconds=0.05),
            )
        )  # fmt: skip
        await asyncio.wait_for(done.wait(), 30)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        return (await store.attestations(ONE.digest)).publications[0]

    return told, with_store(where, use)


def raising(error):
    def publish(_task, _statements):
        raise error

    return publish


@pytest.mark.parametrize(
    ("error", "state", "seconds"),
    [
        (UpstreamError("h", "push", "503", retryable=True), "failed", (7, 11)),
        (
            UpstreamError("h", "push", "429", retryable=True, after_seconds=900),
            "failed",
            (890, 901),
        ),
        (UpstreamError("h", "push", "405"), "refused", (224, 301)),
        (UnauthorizedError("h", "push", "401"), "refused", (224, 301)),
        (NotFoundError("h", "push", "404"), "missing", (224, 301)),
    ],
    ids=["passes", "asks to wait", "read-only", "credentials", "no image"],
)
def test_what_fails_is_tried_again(tmp_path, error, state, seconds):
    have_scanned(tmp_path)
    signed(tmp_path)
    told, found = publishing(tmp_path, raising(error))
    assert (told, found.state, found.error_code) == ([state], state, error.code)
    wait = (found.next_at - datetime.now(UTC)).total_seconds()
    assert seconds[0] - 5 < wait < seconds[1]


def test_what_is_published_is_what_was_signed(tmp_path):
    have_scanned(tmp_path)
    made = signed(tmp_path)
    seen = []
    told, found = publishing(tmp_path, lambda task, stored: seen.append((task, stored)))
    assert (told, found.state, found.next_at) == (["published"], "published", None)
    ((task, stored),) = seen
    assert (task.registry, task.repository, task.digest) == (
        "registry.example", "team/app", ONE.digest
    )  # fmt: skip
    assert {s.predicate_type: s.envelope for s in stored} == {
        s.predicate_type: s.envelope for s in made.statements
    }


def test_a_registry_that_is_not_allowed_is_not_asked(tmp_path):
    have_scanned(tmp_path)
    signed(tmp_path)
    _, found = publishing(tmp_path, raising(AssertionError("asked")), allowed=False)
    assert (found.state, found.error_code) == ("refused", "forbidden-host")


def test_what_another_key_signed_is_not_published_as_ours(tmp_path):
    have_scanned(tmp_path)
    signed(tmp_path)
    _, found = publishing(tmp_path, raising(AssertionError("asked")), key_id="0" * 64)
    assert (found.state, found.error_code) == ("failed", "no-statement")


def test_a_missing_image_is_given_up(tmp_path):
    have_scanned(tmp_path)
    signed(tmp_path)
    options = PublishOptions(poll_seconds=0.05, missing_count=1)
    _, found = publishing(tmp_path, raising(NotFoundError("h", "push", "404")), options=options)
    assert (found.state, found.next_at) == ("missing", None)


def test_a_defect_does_not_end_the_loop(tmp_path):
    have_scanned(tmp_path)
    signed(tmp_path)
    told, found = publishing(tmp_path, raising(ZeroDivisionError()))
    assert (told, found.state) == (["failed"], "pending")
    assert found.next_at > datetime.now(UTC)
