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
from support.web.memory_service import MemoryStore, context_of, endpoint, serving

from scanner.logs import set_up_logs
from scanner.ports import CredentialKind
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


def run(context, use):
    async def main():
        async with serving(context) as client:
            return await use(client)

    return asyncio.run(main())


def test_a_push_is_queued_once():
    context = context_of(registry())

    async def use(client):
        answers = []
        for _ in range(2):
            async with post(client, event()) as response:
                answers.append((response.status, await response.json()))
        return answers

    assert (
        run(context, use)
        == [(202, {"outcome": "queued", "scans": ["scan-0"], "refused_count": 0})] * 2
    )
    assert list(context.store.requests) == [("reg.example:5000", "team/app", "1.2", DIGEST)]


@pytest.mark.parametrize(
    ("body", "secret", "name", "status", "code"),
    [
        pytest.param(event(), "wrong", "registry", 401, "unauthenticated", id="wrong_secret"),
        pytest.param(b"x" * 1_048_577, SECRET, "registry", 413, "body-too-large", id="too_large"),
        pytest.param(event(), SECRET, "other", 404, "unknown-source", id="unknown_source"),
    ],
)
def test_a_push_is_refused(body, secret, name, status, code):
    context = context_of(registry())

    async def use(client):
        async with post(client, body, secret, name) as response:
            return response.status, (await problem(response)).code

    assert run(context, use) == (status, code)
    assert context.store.requests == {}


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
def test_what_can_never_be_queued_is_no_reason_to_send_it_again(body, outcome):
    context = context_of(registry())

    async def use(client):
        async with post(client, body) as response:
            return response.status, (await response.json())["outcome"]

    assert run(context, use) == (200, outcome)
    assert context.store.requests == {}
    recorded = [] if outcome == "uninteresting" else [("registry", outcome)]
    assert [(d.source, d.outcome) for d in context.store.delivered] == recorded


def test_good_pushes_count_beside_refused_ones():
    context = context_of(registry())
    both = [json.loads(event(host))["events"][0] for host in ("evil.example", "reg.example:5000")]

    async def use(client):
        async with post(client, json.dumps({"events": both}).encode()) as response:
            return response.status, await response.json()

    assert run(context, use) == (
        202,
        {"outcome": "queued", "scans": ["scan-0"], "refused_count": 1},
    )
    assert [(d.event_id, d.outcome) for d in context.store.delivered] == [("e1", "queued")]


def test_a_configured_host_counts_whatever_the_event_says():
    context = context_of(registry(host="registry:5000"))

    async def use(client):
        async with post(client, event("evil.example")) as response:
            return response.status

    assert run(context, use) == 202
    assert [image[0] for image in context.store.requests] == ["registry:5000"]


def test_a_forged_signature_is_refused():
    context = context_of(endpoint("git", "gitea", CredentialKind.SIGNATURE, secret=SECRET))
    body = b'{"action":"deleted"}'

    async def use(client):
        found = []
        for key in (SECRET, "other"):
            signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
            headers = {"X-Gitea-Event": "package", "X-Gitea-Signature": signature}
            async with client.post("/v1/webhooks/git", data=body, headers=headers) as response:
                found.append(response.status)
        return found

    good, forged = run(context, use)
    assert forged == 401
    assert good != 401


def test_a_burst_shares_transactions():
    context = context_of(registry())

    async def one(client, number):
        async with post(client, event(digest=f"sha256:{number % 50:064x}")) as response:
            return response.status

    async def use(client):
        return await asyncio.gather(*(one(client, n) for n in range(200)))

    assert set(run(context, use)) == {202}
    assert len(context.store.requests) == 50
    assert sum(context.store.batches) == 200
    assert len(context.store.batches) < 100


def test_nothing_is_acknowledged_that_is_not_written():
    context = context_of(registry())
    context.store.broken = True

    async def use(client):
        async with post(client, event()) as response:
            return await problem(response)

    got = run(context, use)
    assert got.status == 503
    assert "/secret/place" not in got.detail


@pytest.mark.parametrize(
    ("token", "status"),
    [("reader", 200), ("boss", 200), ("hook", 403), ("nobody", 401), ("", 401)],
)
def test_scopes(token, status):
    store = MemoryStore(reader=["read"], boss=["admin"], hook=["webhook"])

    async def use(client):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with client.get("/metrics", headers=headers) as response:
            return response.status

    assert run(context_of(store=store), use) == status


@pytest.mark.parametrize(
    ("store", "is_open", "status"),
    [
        pytest.param(MemoryStore(), True, 200, id="open"),
        pytest.param(MemoryStore(), False, 401, id="closed"),
        pytest.param(MemoryStore(boss=["admin"]), True, 401, id="a_token_exists"),
    ],
)
def test_without_a_token(store, is_open, status):
    async def use(client):
        async with client.get("/metrics") as response:
            return response.status

    assert run(context_of(store=store, is_open=is_open), use) == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/healthz", 405),
        ("GET", "/healthz?x=1", 400),
        ("POST", "/v1/webhooks/A%00B", 400),
    ],
)
def test_every_error_is_a_problem(method, path, status):
    async def use(client):
        async with client.request(method, path, headers={"Accept": "text/html"}) as response:
            return (await problem(response)).status

    assert run(context_of(), use) == status


def test_readiness_tells_of_draining_and_of_the_database():
    context = context_of()

    async def use(client):
        found = []
        for change in ("", "draining", "broken"):
            context.liveness.draining = change == "draining"
            context.store.broken = change == "broken"
            async with client.get("/readyz") as response:
                found.append(response.status)
        return found

    assert run(context, use) == [200, 503, 503]


def test_the_document_has_every_route_and_answers_fit_it():
    described = document(all_routes())
    for route in all_routes():
        responses = described["paths"][route.path][route.method.lower()]["responses"]
        assert {*map(str, route.answers), *map(str, problems_of(route))} == set(responses)

    async def use(client):
        async with client.get("/v1/openapi.json") as response:
            served = await response.json()
        async with client.get("/readyz") as response:
            return served, await response.json()

    served, ready = run(context_of(), use)
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
def test_no_secret_is_logged():
    stream = io.StringIO()
    set_up_logs(level="debug", form="json", secrets=[SECRET], stream=stream)
    context = context_of(
        registry(), endpoint("hub", "docker-hub", CredentialKind.PATH, secret=SECRET)
    )

    async def use(client):
        for body in (event(), event("evil.example"), b"["):
            async with post(client, body):
                pass
        async with client.post(f"/v1/webhooks/hub/{SECRET}", data=b"{}"):
            pass
        context.store.broken = True
        async with post(client, event()):
            pass

    run(context, use)
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
