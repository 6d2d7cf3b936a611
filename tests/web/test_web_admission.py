"""Admissions over HTTP: who may ask, what is answered in which trouble, and what is written down."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from support.admission_samples import asked, is_allowed, pod, review, text
from support.policies import policy
from support.web.running import CLEAN, MAIN, finish_next, run

from scanner.app_admission import pod_check
from scanner.discovery import admission_protocols
from scanner.errors import NotFoundError, UpstreamError
from scanner.ports import Priority

PROTOCOLS = admission_protocols()
EACH = pytest.mark.parametrize("protocol", PROTOCOLS)
OTHER = "sha256:" + "ab" * 32
NAME = "reg.example:5000/team/app"
GOOD, BAD, UNKNOWN = (f"{NAME}@{digest}" for digest in (CLEAN, MAIN, OTHER))


def loose():
    """Deny private keys, and what was not scanned."""
    return policy(
        "rules: [{name: keys, action: deny, match: {rule: secret/private-key}}]\nrequire: {coverage: {action: ignore}}\n"
    )


class Registry:
    """Tags of one registry."""

    def __init__(self, **tags):
        self.tags, self.asked = tags, 0

    def digest_of_tag(self, _repository, tag):
        self.asked += 1
        found = self.tags.get(tag)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self):
        pass


async def post(service, protocol, *images, token="cluster", path="", body=None, **more):
    sent = json.dumps(asked(protocol, *images, **more) if body is None else body)
    return await service.ask("POST", f"/v1/admission/{protocol}{path}", token=token, data=sent)


def ask(tmp_path, protocol, *images, body=None, sent=None, **more):
    """Return the answer, and what was written down."""

    async def use(service):
        await service.scan_sample()
        answer = await post(service, protocol, *images, body=body, **(sent or {}))
        await service.client_is_done()
        decisions = (await service.get("/v1/decisions")).json()["items"]
        scans = (await service.store.scans()).items
        return answer, decisions, [scan for scan in scans if scan.digest == OTHER]

    return run(tmp_path, use, policy=more.pop("policy", loose), **more)


@EACH
def test_allowed(protocol, tmp_path):
    answer, (decision,), _ = ask(tmp_path, protocol, GOOD)
    assert answer.status == 200
    assert is_allowed(protocol, answer.json())
    assert (decision["decision"], decision["cause"]) == ("allow", "policy")
    assert decision["requested_by"] == "token/cluster"
    assert decision["images"] == [{"image": GOOD, "digest": CLEAN, "decision": "allow"}]


@EACH
def test_denied_with_reasons(protocol, tmp_path):
    answer, (decision,), _ = ask(tmp_path, protocol, GOOD, BAD)
    assert not is_allowed(protocol, answer.json())
    assert "keys: Private key" in text(answer.json())
    assert (decision["decision"], len(decision["images"])) == ("deny", 2)
    assert "keys: Private key" in decision["reason"]


@EACH
def test_not_scanned(protocol, tmp_path):
    answer, (decision,), (scan,) = ask(tmp_path, protocol, UNKNOWN)
    assert not is_allowed(protocol, answer.json())
    assert "not scanned: scan started, retry" in text(answer.json())
    assert (scan.state, scan.priority) == ("queued", Priority.WAITING)
    assert scan.requested_by == "token/cluster"
    assert decision["decision"] == "deny"


@EACH
def test_not_scanned_is_not_always_a_denial(protocol, tmp_path):
    answer, _, (scan,) = ask(
        tmp_path, protocol, UNKNOWN, policy=lambda: policy("require: {scanned: {action: warn}}\n")
    )
    assert is_allowed(protocol, answer.json())
    assert scan.state == "queued"


@EACH
def test_tags_are_asked_of_their_registry(protocol, tmp_path):
    registry = Registry(good=CLEAN, bad=MAIN)
    answer, (decision,), _ = ask(
        tmp_path, protocol, f"{NAME}:good", f"{NAME}:bad", f"{NAME}:none",
        open_names=lambda _host: registry,
    )  # fmt: skip
    assert not is_allowed(protocol, answer.json())
    told = [(one.get("digest", ""), one["decision"]) for one in decision["images"]]
    if protocol == "images":
        assert [one["decision"] for one in answer.json()["images"]] == ["allow", "deny", "deny"]
    assert told == [(CLEAN, "allow"), (MAIN, "deny"), ("", "deny")]
    assert decision["images"][2]["reason"] == "reg.example:5000 has no such tag"


@EACH
def test_a_registry_that_is_down(protocol, tmp_path):
    answer, (decision,), _ = ask(tmp_path, protocol, f"{NAME}:1", GOOD)
    assert not is_allowed(protocol, answer.json())
    assert "does not say where the tag leads" in text(answer.json())
    assert decision["cause"] == "trouble"


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("NOT A REFERENCE", "no reference"),
        ("evil.example/app:1", "not among server.allowed_registries"),
        (f"evil.example/app@{OTHER}", "not among server.allowed_registries"),
    ],
)
@EACH
def test_images_that_nobody_asks_for(protocol, image, why, tmp_path):
    def open_names(registry):
        raise AssertionError(registry)

    answer, _, scans = ask(tmp_path, protocol, image, open_names=open_names)
    assert not is_allowed(protocol, answer.json())
    assert why in text(answer.json())
    assert scans == []


def test_old_scans_are_made_again(tmp_path):
    old = "require: {scanned: {within_days: 0.000001}, coverage: {action: ignore}}\n"

    async def use(service):
        await service.scan_sample()
        await asyncio.sleep(0.15)
        answers = [await post(service, "kubernetes", GOOD) for _ in range(2)]
        return answers[0].json(), [
            s for s in (await service.store.scans()).items if s.digest == CLEAN
        ]

    told, scans = run(tmp_path, use, policy=lambda: policy(old))
    assert not is_allowed("kubernetes", told)
    assert "scanned again now" in text(told)
    assert [(s.state, s.priority) for s in scans] == [("queued", Priority.WAITING)]


def test_an_answer_that_waits_for_the_scan(tmp_path):
    async def use(service):
        await service.scan_sample()
        report = await service.store.report(CLEAN)
        asking = asyncio.create_task(post(service, "kubernetes", UNKNOWN))
        while not [s for s in (await service.store.scans()).items if s.digest == OTHER]:  # noqa: ASYNC110 - it is in the database
            await asyncio.sleep(0.01)
        image = msgspec.structs.replace(report.images[0], digest=OTHER)
        done = msgspec.structs.replace(report, digest=OTHER, images=(image,))
        await asyncio.to_thread(finish_next, service.directory, done)
        return (await asking).json()

    told = run(tmp_path, use, policy=loose, options={"wait_seconds": 20.0})
    assert is_allowed("kubernetes", told)


def test_waiting_ends_before_the_caller_does(tmp_path):
    async def use(service):
        return (await post(service, "kubernetes", UNKNOWN, path="?timeout=1s")).json()

    told = run(tmp_path, use, options={"wait_seconds": 60.0})
    assert "not scanned: scan started, retry" in text(told)


def test_a_dry_run_changes_nothing(tmp_path):
    body = review(pod(UNKNOWN), dryRun=True)
    answer, decisions, scans = ask(tmp_path, "kubernetes", body=body)
    assert "a dry run starts no scan" in text(answer.json())
    assert (decisions, scans) == ([], [])


def test_what_is_deleted_is_let_go(tmp_path):
    body = review(None, operation="DELETE", oldObject=pod(BAD))
    answer, decisions, _ = ask(tmp_path, "kubernetes", body=body)
    assert is_allowed("kubernetes", answer.json())
    assert decisions == []


def test_namespaces_that_are_not_judged(tmp_path):
    options = {"is_exempt": lambda namespace: namespace == "kube-system"}
    sent = {"namespace": "kube-system"}
    answer, (decision,), _ = ask(tmp_path, "kubernetes", BAD, sent=sent, options=options)
    assert is_allowed("kubernetes", answer.json())
    assert (decision["decision"], decision["cause"]) == ("allow", "exempt")


def test_pods_by_their_standards(tmp_path):
    options = {"check_pod": pod_check(["prod=baseline:v1.29", "*=privileged"])}
    bad = pod(GOOD, hostNetwork=True)
    for namespace, allowed in (("prod", False), ("test", True)):
        body = review(bad, namespace=namespace)
        answer, (decision,), _ = ask(tmp_path / namespace, "kubernetes", body=body, options=options)
        assert is_allowed("kubernetes", answer.json()) == allowed
    answer, (decision,), _ = ask(tmp_path, "kubernetes", body=review(bad), options=options)
    assert 'violates PodSecurity "baseline:v1.29": host namespaces' in decision["reason"]


# Who may ask


@pytest.mark.parametrize(("token", "status"), [("", 401), ("scn_wrong", 401), ("reader", 403)])
@EACH
def test_who_may_not_ask(protocol, token, status, tmp_path):
    async def use(service):
        return await post(service, protocol, GOOD, token=token)

    answer = run(tmp_path, use)
    assert answer.status in {status, 200}
    if answer.status == 200:
        assert answer.json()["response"]["systemError"]
    assert "token" in text(answer.json())


@EACH
def test_a_token_in_the_path(protocol, tmp_path):
    async def use(service):
        await service.scan_sample()
        path = f"/{service.tokens['cluster']}"
        good = await post(service, protocol, GOOD, token="", path=path)
        wrong = await post(service, protocol, GOOD, token="", path="/scn_wrong")
        return good.json(), wrong

    good, wrong = run(tmp_path, use, policy=loose)
    assert is_allowed(protocol, good)
    assert wrong.status in {401, 200}
    assert wrong.status == 401 or not is_allowed(protocol, wrong.json())


def test_protocols_that_are_not_there(tmp_path):
    async def use(service):
        return await service.ask("POST", "/v1/admission/none", data=b"{}")

    assert run(tmp_path, use).problem().code == "unknown-protocol"


# Trouble


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b"[" * 100_000, b'{"kind":"\xff"}'])
@EACH
def test_not_what_is_asked(protocol, body, tmp_path):
    async def use(service):
        return await service.ask("POST", f"/v1/admission/{protocol}", token="cluster", data=body)

    refused(protocol, run(tmp_path, use), 400)


@EACH
def test_too_large(protocol, tmp_path):
    async def use(service):
        path = f"/v1/admission/{protocol}"
        return await service.ask("POST", path, token="cluster", data=b" " * 2_000)

    refused(protocol, run(tmp_path, use, body_bytes=1_000), 413)


def refused(protocol, answer, status):
    """Each caller is told in its own words."""
    told = answer.json()
    if protocol == "gatekeeper":
        assert answer.status == 200
        assert told["response"]["systemError"].startswith("scanner: ")
    elif protocol == "images":
        assert (answer.status, told["status"]) == (status, status)
        assert answer.headers["Content-Type"] == "application/problem+json"
    else:
        assert (answer.status, told["kind"], told["code"]) == (status, "Status", status)
        assert told["message"].startswith("scanner: ")


class Broken:
    """A store that nobody reaches any more, but for who may ask."""

    def __init__(self, store, *, with_tokens):
        self._store, self._with_tokens = store, with_tokens

    def __getattr__(self, name):
        if name == "load_token" and self._with_tokens:
            return self._store.load_token
        from support.web.running import BrokenStore

        return getattr(BrokenStore(), name)


@pytest.mark.parametrize("with_tokens", [True, False])
@pytest.mark.parametrize("fails_open", [True, False])
@EACH
def test_a_database_that_is_down(protocol, fails_open, with_tokens, tmp_path):
    async def use(service):
        from support.web.running import context_of, serving

        options = {"fails_open": lambda _namespace: fails_open}
        broken = Broken(service.store, with_tokens=with_tokens)
        context = context_of(store=broken, options=options)
        headers = service.headers("cluster")
        async with serving(context) as client:
            sent = json.dumps(asked(protocol, GOOD))
            path = f"/v1/admission/{protocol}"
            async with client.post(path, data=sent, headers=headers) as response:
                return response.status, await response.json()

    status, told = run(tmp_path, use)
    assert status == 200
    assert is_allowed(protocol, told) == fails_open
    assert "database cannot be used" in text(told)


def test_registries_in_trouble_where_doors_stay_open(tmp_path):
    options = {"fails_open": lambda namespace: namespace == "lab"}
    for error, allowed in (
        (UpstreamError("reg.example:5000", "ask", "503", retryable=True), True),
        (NotFoundError("reg.example:5000", "ask", "there is none"), False),
    ):
        registry = Registry(one=error)
        answer, _, _ = ask(
            tmp_path / str(allowed), "kubernetes", f"{NAME}:one", sent={"namespace": "lab"},
            options=options, open_names=lambda _host, found=registry: found,
        )  # fmt: skip
        assert is_allowed("kubernetes", answer.json()) == allowed


def test_a_defect_is_a_denial(tmp_path, caplog):
    def check(_pod, _namespace):
        raise ZeroDivisionError

    answer, (decision,), _ = ask(tmp_path, "kubernetes", GOOD, options={"check_pod": check})
    assert not is_allowed("kubernetes", answer.json())
    assert (decision["cause"], decision["reason"]) == (
        "trouble",
        "not judged: internal error of the scanner",
    )
    assert "admission failed" in caplog.text


def test_one_tag_is_asked_for_once(tmp_path):
    registry = Registry(good=CLEAN)

    async def use(service):
        await service.scan_sample()
        images = [f"{NAME}:good"] * 3
        await asyncio.gather(*(post(service, "images", *images) for _ in range(5)))

    run(tmp_path, use, open_names=lambda _host: registry)
    assert registry.asked == 1


def test_decisions_by_what_they_are_about(tmp_path):
    async def use(service):
        await service.scan_sample()
        await post(service, "kubernetes", GOOD)
        await post(service, "images", BAD, namespace="test")
        await service.client_is_done()
        queries = (
            "",
            "?decision=deny",
            "?namespace=prod",
            "?protocol=images",
            f"?digest={CLEAN}",
            "?limit=1",
        )
        pages = [await service.get(f"/v1/decisions{query}") for query in queries]
        found = [[one["protocol"] for one in page.json()["items"]] for page in pages]
        return found, (await service.get("/v1/decisions", token="cluster")).status

    found, status = run(tmp_path, use, policy=loose)
    kubernetes, images = ["kubernetes"], ["images"]
    assert found == [[*images, *kubernetes], images, kubernetes, images, kubernetes, images]
    assert status == 403


def test_the_token_is_nowhere(tmp_path, caplog):
    async def use(service):
        await service.scan_sample()
        token = service.tokens["cluster"]
        await post(service, "kubernetes", BAD, token="", path=f"/{token}")
        await service.client_is_done()
        kept = (await service.get("/v1/decisions")).body + (await service.get("/metrics")).body
        return token, kept.decode()

    caplog.set_level("DEBUG")
    token, kept = run(tmp_path, use)
    shown = kept + " ".join(str(record.__dict__) for record in caplog.records)
    assert token not in shown
