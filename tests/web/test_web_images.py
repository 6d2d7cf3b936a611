"""What is told of a digest: short, long, in many formats, for many at once."""

from __future__ import annotations

import json

import pytest
from support.web.running import CLEAN, FINGERPRINT, INDEX, MAIN, lease_next, run

from scanner.discovery import report_formats
from scanner.ports import ScanRequest

OTHER = "sha256:" + "ab" * 32


def wanted(digest=OTHER):
    return ScanRequest(registry="reg.example:5000", repository="team/app", digest=digest)


def test_an_image_that_was_scanned(tmp_path):
    async def use(service):
        await service.scan_sample()
        return await service.get(f"/v1/images/{MAIN}", token="reader")

    answer = run(tmp_path, use)
    told = answer.json()
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert told.pop("scanned_at").endswith("Z")
    assert told.pop("coverage")["layers_count"] == 2
    assert {one["rule"] for one in told.pop("reasons")} >= {"coverage", "credentials"}
    assert told.pop("policy_digest").startswith("sha256:")
    assert told.pop("reasons_count") > 10
    assert told == {
        "digest": MAIN,
        "state": "partial",
        "result": "partial",
        "kind": "image",
        "platform": "linux/amd64",
        "config_digest": "sha256:" + "2" * 64,
        "severities": {"critical": 13, "high": 1, "medium": 1, "low": 30, "info": 2},
        "packages_count": 2,
        "reference": "reg.example:5000/team/app@" + MAIN,
        "fingerprint": FINGERPRINT,
        "is_current": True,
        "verdict": "deny",
        "waived_count": 0,
        "policy": "default",
    }


def test_unchanged_answers_are_not_sent_again(tmp_path):
    async def use(service):
        await service.scan_sample()
        found = []
        for path in (f"/v1/images/{CLEAN}", f"/v1/images/{CLEAN}/report"):
            first = await service.get(path)
            again = await service.get(
                path, headers={"If-None-Match": f'"x", {first.headers["ETag"]}'}
            )
            other = await service.get(path, headers={"If-None-Match": '"x"'})
            head = await service.ask("HEAD", path)
            found.append(
                (first.status, again.status, again.body, other.status, head.status, head.body)
            )
        return found

    assert run(tmp_path, use) == [(200, 304, b"", 200, 200, b"")] * 2


def test_states_before_the_first_result(tmp_path):
    async def use(service):
        path = f"/v1/images/{OTHER}"
        unknown = await service.get(path, headers={"Accept": "text/html"})
        queued = await service.store.enqueue(wanted(), FINGERPRINT)
        told = [await service.get(path)]
        lease_next(service.directory)
        told.append(await service.get(path))
        await service.store.cancel(queued.id)
        return unknown, queued.id, [(a.status, a.headers["Cache-Control"], a.json()) for a in told]

    unknown, scan, told = run(tmp_path, use)
    assert (unknown.status, unknown.problem().state) == (404, "unknown")
    reference = f"reg.example:5000/team/app@{OTHER}"
    for _, _, one in told:
        assert (one.pop("verdict"), one.pop("reasons")[0]["code"]) == ("deny", "not-scanned")
        assert (one.pop("reasons_count"), one.pop("waived_count")) == (1, 0)
        assert (one.pop("policy"), one.pop("policy_digest")[:7]) == ("default", "sha256:")
    assert told == [
        (200, "no-store", {"digest": OTHER, "state": s, "scan": scan, "reference": reference})
        for s in ("queued", "scanning")
    ]


def test_a_failed_and_a_cancelled_scan(tmp_path):
    async def use(service):
        from scanner.store.queue import open_queue

        await service.store.enqueue(wanted(), FINGERPRINT)
        queue = open_queue(service.directory)
        queue.fail(queue.lease("w"), "not-found", "no such manifest", retryable=False)
        queue.close()
        cancelled = await service.store.enqueue(wanted("sha256:" + "cd" * 32), FINGERPRINT)
        await service.store.cancel(cancelled.id)
        return await service.get(f"/v1/images/{OTHER}"), await service.get(
            f"/v1/images/sha256:{'cd' * 32}"
        )

    failed, cancelled = run(tmp_path, use)
    told = failed.json()
    assert (failed.status, told["state"], told["error_code"]) == (200, "failed", "not-found")
    assert (cancelled.status, cancelled.problem().state) == (404, "unknown")


def test_old_answers_are_stale_for_those_who_ask(tmp_path):
    async def use(service):
        await service.scan_sample()
        old = (await service.get(f"/v1/images/{CLEAN}?max_age_seconds=0")).json()
        young = (await service.get(f"/v1/images/{CLEAN}?max_age_seconds=3600")).json()
        return [(a["state"], a["result"]) for a in (old, young)]

    assert run(tmp_path, use) == [("stale", "complete"), ("complete", "complete")]


def test_a_result_of_other_analyzers_is_not_current(tmp_path):
    async def use(service):
        await service.scan_sample()
        return (await service.get(f"/v1/images/{CLEAN}")).json()["is_current"]

    assert run(tmp_path, use, fingerprint="f" * 16) is False


def test_many_at_once(where):
    async def use(service):
        await service.scan_sample()
        cancelled = await service.store.enqueue(wanted(), FINGERPRINT)
        await service.store.cancel(cancelled.id)
        queued = await service.store.enqueue(wanted(), FINGERPRINT)
        body = {"digests": [CLEAN, OTHER, MAIN, "sha256:" + "9" * 64, CLEAN]}
        answer = await service.ask("POST", "/v1/images/query", json=body, token="reader")
        return queued.id, answer

    queued, answer = run(where, use)
    told = answer.json()["images"]
    states = [one["state"] for one in told]
    assert (answer.status, states) == (
        200,
        ["complete", "queued", "partial", "unknown", "complete"],
    )
    assert told[1]["scan"] == queued


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"digests": ["sha256:x"]}, 400, id="no_digest"),
        pytest.param({"digests": [MAIN] * 1001}, 400, id="too_many"),
        pytest.param({"digests": [MAIN + "\n"]}, 400, id="line_end"),
        pytest.param({}, 400, id="none"),
        pytest.param({"digests": [], "other": 1}, 400, id="unknown_field"),
        pytest.param([], 400, id="no_object"),
        pytest.param({"digests": []}, 200, id="empty"),
    ],
)
def test_bounds_of_queries(tmp_path, body, status):
    async def use(service):
        return (await service.ask("POST", "/v1/images/query", json=body)).status

    assert run(tmp_path, use) == status


def test_reports_in_every_format(tmp_path):
    async def use(service):
        await service.scan_sample()
        path = f"/v1/images/{INDEX}/report"
        found = {}
        for one in report_formats().values():
            by_name = await service.get(f"{path}?format={one.name}")
            by_type = await service.get(path, headers={"Accept": f"x/y, {one.media_type};q=0.5"})
            found[one.name] = (by_name.status, by_name.body == by_type.body or by_type.status)
            assert by_name.headers["Content-Type"].startswith(one.media_type)
        plain = await service.get(path)
        refused = await service.get(path, headers={"Accept": "image/png"})
        wrong = await service.get(f"{path}?format=nothing")
        return found, plain, refused, wrong

    found, plain, refused, wrong = run(tmp_path, use)
    assert all(status == 200 for status, _ in found.values())
    assert plain.json()["digest"] == INDEX
    assert len(plain.json()["images"]) == 3
    for one in (refused, wrong):
        assert (one.status, one.problem().code) == (406, "not-acceptable")
        assert all(name in one.problem().detail for name in report_formats())


@pytest.mark.parametrize("what", ["", "/report", "/packages", "/findings", "/layers"])
def test_unknown_images(tmp_path, what):
    async def use(service):
        return await service.get(f"/v1/images/{OTHER}{what}")

    answer = run(tmp_path, use)
    assert (answer.status, answer.problem().state) == (404, "unknown")


@pytest.mark.parametrize(
    "digest", ["x", "sha256:" + "A" * 64, "sha256:" + "a" * 63, MAIN + "%0A", "%00"]
)
def test_no_digest(tmp_path, digest):
    async def use(service):
        return await service.get(f"/v1/images/{digest}")

    assert run(tmp_path, use).problem().status == 400


async def pages(service, path, limit):
    items, after, joint = [], "", "&" if "?" in path else "?"
    while True:
        answer = await service.get(f"{path}{joint}limit={limit}&after={after}")
        page = answer.json()
        items += page["items"]
        after = page["next"]
        if not after:
            return items


def test_packages_findings_and_layers_page_by_page(tmp_path):
    async def use(service):
        await service.scan_sample()
        base = f"/v1/images/{MAIN}"
        return (
            await pages(service, f"{base}/packages", 1),
            await pages(service, f"{base}/findings", 20),
            await pages(service, f"{base}/findings?severity=high&severity=medium", 1),
            await pages(service, f"{base}/findings?kind=secret&path=srv/keys/", 100),
            (await service.get(f"{base}/layers")).json()["items"],
            (await service.get(f"/v1/images/{INDEX}/layers")).json()["items"],
        )

    packages, findings, some, secrets, layers, none = run(tmp_path, use)
    assert [p["name"] for p in packages] == ["bash", "flask"]
    assert len(findings) == 47
    assert {f["finding"]["severity"] for f in some} == {"high", "medium"}
    assert len(secrets) == 6
    assert [layer["digest"] for layer in layers] == ["sha256:" + c * 64 for c in "ab"]
    assert none == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "after=x", "severity=bad", "what=1", "limit=1&limit=2"],
)
def test_wrong_parameters(tmp_path, query):
    async def use(service):
        await service.scan_sample()
        return await service.get(f"/v1/images/{MAIN}/findings?{query}")

    assert run(tmp_path, use).problem().status == 400


def test_answers_are_counted_by_state(tmp_path):
    async def use(service):
        await service.scan_sample()
        await service.get(f"/v1/images/{CLEAN}")
        await service.get(f"/v1/images/{OTHER}")
        return (await service.get("/metrics")).body.decode()

    text = run(tmp_path, use)
    assert 'scanner_image_answers_total{state="complete"} 1.0' in text
    assert 'scanner_image_answers_total{state="unknown"} 1.0' in text


def test_the_json_report_is_the_command_lines(tmp_path):
    async def use(service):
        await service.scan_sample()
        return (await service.get(f"/v1/images/{CLEAN}/report")).json()

    assert json.dumps(run(tmp_path, use)["images"][0]["digest"]) == f'"{CLEAN}"'


def test_the_newest_scan_counts(tmp_path):
    async def use(service):
        await service.scan_sample()
        first = await service.get(f"/v1/images/{CLEAN}")
        await service.scan_sample(fingerprint="new")
        again = await service.get(
            f"/v1/images/{CLEAN}", headers={"If-None-Match": first.headers["ETag"]}
        )
        return again.status, again.json()["fingerprint"]

    assert run(tmp_path, use) == (200, "new")
