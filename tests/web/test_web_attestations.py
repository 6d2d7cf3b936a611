"""What is signed about an image, as the API tells it; on both databases what is beneath is tested in tests/store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import update
from support.attesting import ecdsa_signer
from support.sample_report import sample_report
from support.signing import sign_all
from support.web.running import CLEAN, FAILED, INDEX, MAIN, run

from scanner.attest.bundle import BUNDLE_TYPE, encode_bundle
from scanner.attest.dsse import ENVELOPE_TYPE, parse_envelope
from scanner.attest.verify import Demand, check
from scanner.discovery import predicates
from scanner.ports.attestations import PublicationState
from scanner.store._tables import ATTESTATIONS

TYPES = {p.name: p.type for p in predicates().values()}
NOW = datetime.now(UTC).replace(microsecond=0)


async def scanned(service, *, valid=timedelta(days=7)):
    """Have the sample be scanned just now, and signed."""
    report = msgspec.structs.replace(sample_report(), started_at=NOW.isoformat(), seconds=0.0)
    await service.scan_sample(started_at=report.started_at, seconds=0.0)
    return await sign_all(service.store, valid=valid)


def path(digest, *names):
    query = "&".join(f"predicate_type={name}" for name in names)
    return f"/v1/images/{digest}/attestations?{query}"


def test_every_digest_has_its_statements_and_they_prove_something(tmp_path):
    async def use(service):
        await scanned(service)
        for digest in (INDEX, MAIN, CLEAN):
            answer = (await service.get(path(digest))).json()
            assert {s["name"] for s in answer["statements"]} >= {"scan", "vsa"}
            assert {s["state"] for s in answer["statements"]} == {"current"}
            assert [p["state"] for p in answer["publications"]] == ["pending"]
            got = await service.get(path(digest, "scan"), headers={"Accept": ENVELOPE_TYPE})
            key = ecdsa_signer().key
            types = frozenset([TYPES["scan"]])
            demand = Demand(digest=digest, keys=(key,), types=types, now=datetime.now(UTC))
            proof = check(
                parse_envelope(got.body), "here", demand,
                {p.type: p for p in predicates().values()},
            )  # fmt: skip
            assert proof.scan.verdict.decision in {"allow", "warn", "deny"}
            bundle = await service.get(path(digest, "scan"), headers={"Accept": BUNDLE_TYPE})
            assert bundle.headers["Content-Type"] == BUNDLE_TYPE
            assert bundle.body == encode_bundle(parse_envelope(got.body), key)

    run(tmp_path, use)


def test_what_could_not_be_scanned_has_none(tmp_path):
    async def use(service):
        await scanned(service)
        answer = (await service.get(path(FAILED))).json()
        assert (answer["statements"], answer["publications"]) == ([], [])
        assert answer["signed_at"]
        for accept in (BUNDLE_TYPE, ENVELOPE_TYPE):
            got = await service.get(path(FAILED), headers={"Accept": accept})
            assert (got.status, got.problem().code) == (404, "unknown")

    run(tmp_path, use)


def test_expired_statements_are_told_and_not_handed_out(tmp_path):
    async def use(service):
        await scanned(service)
        gone = update(ATTESTATIONS).values(expires_at=1)
        await service.store._database.write(lambda c: c.execute(gone))
        answer = (await service.get(path(MAIN, "scan", TYPES["vsa"]))).json()
        told = {s["predicate_type"]: s["state"] for s in answer["statements"]}
        assert told == {TYPES["scan"]: "stale", TYPES["vsa"]: "stale"}
        got = await service.get(path(MAIN, "scan"), headers={"Accept": BUNDLE_TYPE})
        assert got.status == 404

    run(tmp_path, use)


def test_failures_are_told(tmp_path):
    async def use(service):
        await scanned(service)
        (task, *_) = await service.store.publishing_tasks()
        later = NOW + timedelta(hours=1)
        await service.store.record_published(
            task,
            PublicationState.REFUSED,
            next_at=later,
            code="unauthorized",
            reason="may not push",
        )
        (told,) = (await service.get(path(task.digest))).json()["publications"]
        assert (told["state"], told["error"], told["attempts"]) == ("refused", "may not push", 1)
        text = (await service.get("/metrics")).body.decode()
        assert 'scanner_attestations_waiting{state="refused"} 1.0' in text

    run(tmp_path, use)


@pytest.mark.parametrize(
    ("asked", "accept", "status"),
    [
        (path("sha256:" + "9" * 64), "", 404),
        (path("sha256:9"), "", 400),
        (path(MAIN), "image/png", 406),
        (path(MAIN, "urn:none"), "application/json", 200),
    ],
    ids=["unknown image", "no digest", "no such form", "no such type"],
)
def test_other_questions(tmp_path, asked, accept, status):
    async def use(service):
        await scanned(service)
        got = await service.get(asked, headers={"Accept": accept} if accept else {})
        assert got.status == status

    run(tmp_path, use)


def test_who_may_ask(tmp_path):
    async def use(service):
        await scanned(service)
        found = [(await service.get(path(MAIN), token=t)).status for t in ("", "hook", "reader")]
        assert found == [401, 403, 200]

    run(tmp_path, use)
