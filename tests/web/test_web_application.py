"""The application over real sockets: who may, what is queued, and how everything else is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import logging

import jsonschema
import msgspec
import pytest
from support.web.running import BrokenStore, context_of, endpoint, run, serving

from scanner.logs import set_up_logs
from scanner.ports.webhook import CredentialKind
from scanner.web import _request
from scanner.web._hosts import is_allowed_host
from scanner.web._openapi import document, problems_of
from scanner.web._problems import MEDIA_TYPE, Problem
from scanner.web.application import all_routes

SECRET = "canary-" + "s" * 20
DIGEST = "sha256:" + "ab" * 32


def event(host="reg.example:5000", digest=DIGEST, action="push", repository="team/app"):
    target = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "repository": repository,
        "tag": "1.2",
    }
    one = {"id": "e1", "action": action, "target": target, "request": {"host": host}}
    return json.dumps({"events": [one]}).encode()


def registry(**more):
    return endpoint("registry", "distribution", secret=SECRET, **more)


def post(client, body, secret=SECRET, name="registry"):
    headers = {
        "Authorization": f"Bearer {secret}",
        "Content-Type": "application/vnd.docker.distribution.events.v2+json",
    }
    return client.post(f"/v1/webhooks/{name}", data=io.BytesIO(body), headers=headers)


async def problem(response):
    assert response.headers["Content-Type"] == MEDIA_TYPE
    got = msgspec.json.decode(await response.read(), type=Problem)
    assert got.status == response.status
    return got


def run_alone(context, use):
    """Return what ``use`` returns of an application over no store."""

    async def main():
        async with serving(context) as client:
            return await use(client)

    return asyncio.run(main())


async def queued(service):
    """Return what is queued: (registry, repository, tag, digest, who asked), newest first."""
    page = await service.store.scans()
    return [(s.registry, s.repository, s.tag, s.digest, s.requested_by) for s in page.items]


async def delivered(service):
    """Return (source, outcome, detail) of the deliveries recorded, once all are written."""
    await service.client_is_done()
    page = await service.store.deliveries()
    return [(d.source, d.outcome, d.detail) for d in page.items]


def test_a_push_is_queued_once(tmp_path):
    async def use(service):
        answers = []
        for _ in range(2):
            async with post(service.client, event()) as response:
                answers.append((response.status, await response.json()))
        return answers, await queued(service), await delivered(service)

    answers, scans, deliveries = run(tmp_path, use, registry())
    (scan,) = answers[0][1]["scans"]
    assert answers == [(202, {"outcome": "queued", "scans": [scan], "refused_count": 0})] * 2
    assert scans == [("reg.example:5000", "team/app", "1.2", DIGEST, "webhook/registry")]
    assert deliveries == [("registry", "queued", "")]


@pytest.mark.parametrize(
    ("body", "secret", "name", "told"),
    [
        pytest.param(event(), "wrong", "registry", (401, "unauthenticated"), id="wrong_secret"),
        pytest.param(
            b"[", "wrong", "registry", (401, "unauthenticated"), id="unknown_and_malformed"
        ),
        pytest.param(b"x" * 1_048_577, SECRET, "registry", (413, "body-too-large"), id="too_large"),
        pytest.param(event(), SECRET, "other", (404, "unknown-source"), id="unknown_source"),
    ],
)
def test_a_push_is_refused(tmp_path, body, secret, name, told):
    async def use(service):
        async with post(service.client, body, secret, name) as response:
            answer = response.status, (await problem(response)).code
        return answer, await queued(service), await delivered(service)

    assert run(tmp_path, use, registry()) == (told, [], [])


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param(event("evil.example"), "refused", id="ssrf"),
        pytest.param(event("169.254.169.254"), "refused", id="metadata"),
        pytest.param(event(""), "refused", id="no_host"),
        pytest.param(b"[", "malformed", id="not_json"),
        pytest.param(event(repository="../x"), "malformed", id="no_reference"),
        pytest.param(event(action="pull"), "uninteresting", id="pull"),
    ],
)
def test_what_can_never_be_queued_is_no_reason_to_send_it_again(tmp_path, body, outcome):
    async def use(service):
        async with post(service.client, body) as response:
            told = response.status, (await response.json())["outcome"]
        return told, await queued(service), await delivered(service)

    told, scans, deliveries = run(tmp_path, use, registry())
    assert told == (200, outcome)
    assert scans == []
    recorded = [] if outcome == "uninteresting" else [("registry", outcome)]
    assert [one[:2] for one in deliveries] == recorded


def test_good_pushes_count_beside_refused_ones(tmp_path):
    both = [json.loads(event(host))["events"][0] for host in ("evil.example", "reg.example:5000")]

    async def use(service):
        async with post(service.client, json.dumps({"events": both}).encode()) as response:
            told = response.status, (await response.json())["refused_count"]
        return told, len(await queued(service)), await delivered(service)

    told, count, deliveries = run(tmp_path, use, registry())
    assert (told, count) == ((202, 1), 1)
    assert deliveries == [("registry", "queued", "1 of registries that may not be asked")]


def test_a_configured_host_counts_whatever_the_event_says(tmp_path):
    async def use(service):
        async with post(service.client, event("evil.example")) as response:
            return response.status, [one[0] for one in await queued(service)]

    assert run(tmp_path, use, registry(host="registry:5000")) == (202, ["registry:5000"])


def test_a_forged_signature_is_refused(tmp_path):
    body = b'{"action":"deleted"}'

    async def use(service):
        found = []
        for key in (SECRET, "other"):
            signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
            headers = {"X-Gitea-Event": "package", "X-Gitea-Signature": signature}
            path = "/v1/webhooks/git"
            found.append(
                (await service.ask("POST", path, token="", data=body, headers=headers)).status
            )
        return found

    git = endpoint("git", "gitea", CredentialKind.SIGNATURE, secret=SECRET)
    assert run(tmp_path, use, git) == [200, 401]


def test_a_sender_may_show_a_token_of_ours(tmp_path):
    async def use(service):
        found = []
        for token in ("hook", "reader", ""):
            async with post(
                service.client, event(), service.tokens.get(token, ""), "own"
            ) as answer:
                found.append(answer.status)
        return found

    assert run(tmp_path, use, endpoint("own", "distribution")) == [202, 403, 401]


def test_a_burst_shares_transactions(tmp_path):
    async def one(service, number):
        async with post(service.client, event(digest=f"sha256:{number % 50:064x}")) as response:
            return response.status

    async def use(service):
        statuses = await asyncio.gather(*(one(service, n) for n in range(200)))
        value = service.context.metrics.registry.get_sample_value
        return (
            set(statuses),
            len(await queued(service)),
            [value(f"scanner_write_batch_requests_{what}") for what in ("sum", "count")],
        )

    statuses, count, (items, batches) = run(tmp_path, use, registry())
    assert (statuses, count, items) == ({202}, 50, 200)
    assert batches < 100


def test_nothing_is_acknowledged_that_is_not_written():
    async def use(client):
        async with post(client, event()) as response:
            return await problem(response)

    got = run_alone(context_of(registry()), use)
    assert got.status == 503
    assert "/secret/place" not in got.detail


@pytest.mark.parametrize(
    ("token", "status"),
    [("reader", 200), ("asker", 200), ("boss", 200), ("hook", 403), ("nobody", 401), ("", 401)],
)
def test_scopes(tmp_path, token, status):
    async def use(service):
        return (await service.get("/metrics", token=token)).status

    assert run(tmp_path, use) == status


@pytest.mark.parametrize(
    ("with_tokens", "is_open", "status"),
    [
        pytest.param(False, True, 200, id="open"),
        pytest.param(False, False, 401, id="closed"),
        pytest.param(True, True, 401, id="a_token_exists"),
    ],
)
def test_without_a_token(tmp_path, with_tokens, is_open, status):
    async def use(service):
        return (await service.get("/metrics", token="")).status

    assert run(tmp_path, use, with_tokens=with_tokens, is_open=is_open) == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("DELETE", "/healthz", 405),
        ("OPTIONS", "/v1/scans", 405),
        ("TRACE", "/v1/scans", 405),
        ("GET", "/healthz?x=1", 400),
        ("POST", "/v1/webhooks/A%00B", 400),
    ],
)
def test_every_error_is_a_problem(method, path, status):
    async def use(client):
        async with client.request(method, path, headers={"Accept": "text/html"}) as response:
            assert (status == 405) == ("Allow" in response.headers)
            return (await problem(response)).status

    assert run_alone(context_of(), use) == status


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [
        pytest.param("text/plain", b"{}", 415, id="media_type"),
        pytest.param("application/json", b"{", 400, id="cut_off"),
        pytest.param("application/json", b"[" * 100_000, 400, id="deep"),
        pytest.param("application/json", b"\xff", 400, id="not_utf8"),
        pytest.param("application/json", b'{"reference":"a\\u0000"}', 400, id="nul"),
        pytest.param("application/json", b'{"reference":7}', 400, id="wrong_type"),
        pytest.param("application/json", b" " * 1_048_577, 413, id="too_large"),
    ],
)
def test_bodies_are_bounded_and_typed(tmp_path, media_type, body, status):
    async def use(service):
        headers = {"Content-Type": media_type}
        return await service.ask("POST", "/v1/scans", data=io.BytesIO(body), headers=headers)

    assert run(tmp_path, use).problem().status == status


def test_a_body_that_does_not_arrive_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(_request, "_BODY_SECONDS", 0.05)

    async def slowly():
        yield b"{"
        await asyncio.sleep(5)

    async def use(service):
        headers = {"Content-Type": "application/json"}
        return await service.ask("POST", "/v1/scans", data=slowly(), headers=headers)

    assert run(tmp_path, use).problem().status == 408


def test_readiness_tells_of_draining_and_of_the_database(tmp_path):
    async def use(service):
        found = []
        for draining in (False, True):
            service.context.liveness.draining = draining
            found.append((await service.get("/readyz", token="")).status)
        return found

    assert run(tmp_path, use) == [200, 503]

    async def ask(client):
        async with client.get("/readyz") as response:
            return response.status

    assert run_alone(context_of(store=BrokenStore()), ask) == 503


def test_metrics_are_told_while_the_database_is_away(tmp_path):
    async def use(service):
        text = (await service.get("/metrics")).body.decode()
        await service.store.close()
        return text, (await service.get("/metrics")).body.decode()

    before, after = run(tmp_path, use)
    assert "scanner_store_up 1.0" in before
    assert "scanner_store_up 0.0" in after


def test_the_document_has_every_route_and_answers_fit_it(tmp_path):
    described = document(all_routes())
    for route in all_routes():
        responses = described["paths"][route.path][route.method.lower()]["responses"]
        assert {*map(str, route.answers), *map(str, problems_of(route))} == set(responses)

    async def use(service):
        served = await service.get("/v1/openapi.json", token="")
        return served.json(), (await service.get("/readyz", token="")).json()

    served, ready = run(tmp_path, use)
    assert served == json.loads(json.dumps(described))
    schema = served["components"]["schemas"]["Readiness"]
    jsonschema.validate(ready, {**schema, "components": served["components"]})


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield root
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.mark.usefixtures("root_logger")
def test_no_secret_is_logged(tmp_path):
    stream = io.StringIO()
    set_up_logs(level="debug", form="json", secrets=[SECRET], stream=stream)
    hub = endpoint("hub", "docker-hub", CredentialKind.PATH, secret=SECRET)

    async def use(service):
        for body in (event(), event("evil.example"), b"["):
            async with post(service.client, body):
                pass
        await service.ask("POST", f"/v1/webhooks/hub/{SECRET}", data=b"{}")

    async def use_broken(client):
        async with post(client, event()):
            pass

    run(tmp_path, use, registry(), hub)
    run_alone(context_of(registry()), use_broken)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {"request", "request failed"} <= {line["event"] for line in lines}
    assert all("request_id" in line for line in lines if line["event"].startswith("request"))
    assert SECRET not in stream.getvalue()
    assert "Bearer" not in stream.getvalue()


@pytest.mark.parametrize(
    ("host", "allowed", "want"),
    [
        ("a.example", ("a.example",), True),
        ("A.EXAMPLE", ("a.example",), True),
        ("a.example:5000", ("a.example",), False),
        ("x.a.example", ("*.a.example",), True),
        ("a.example", ("*.a.example",), False),
        ("evila.example", ("*.a.example",), False),
        ("a.example.evil", ("a.example", "*.a.example"), False),
        ("anything", ("*",), True),
        ("", ("*",), False),
        ("a.example", (), False),
    ],
)
def test_allowed_hosts(host, allowed, want):
    assert is_allowed_host(host, allowed) is want
