"""The verdict in the answer by digest."""

from __future__ import annotations

from support.policies import policy
from support.web.running import CLEAN, INDEX, MAIN, run

OTHER = "sha256:" + "ab" * 32
NAMESPACED = """\
rules: [{name: root, action: warn, match: {rule: secret/private-key}}]
scopes:
  - name: prod
    match: {namespace: [prod]}
    rules: [{name: root, action: deny, match: {rule: secret/private-key}}]
  - name: lab
    match: {image: [reg.example/lab/**]}
    require: {scanned: {action: ignore}, coverage: {action: ignore}}
    rules: [{name: root, action: ignore}]
"""


def test_by_namespace_and_name(tmp_path):
    paths = ("", "?namespace=prod", "?repository=reg.example/lab/app")

    async def use(service):
        await service.scan_sample()
        found = [await service.get(f"/v1/images/{MAIN}{path}") for path in paths]
        again = await service.get(
            f"/v1/images/{MAIN}", headers={"If-None-Match": found[0].headers["ETag"]}
        )
        return found, again.status

    found, again = run(tmp_path, use, policy=lambda: policy(NAMESPACED))
    assert [one.json()["verdict"] for one in found] == ["warn", "deny", "allow"]
    assert len({one.headers["ETag"] for one in found}) == 3
    assert again == 304
    first = found[1].json()["reasons"][0]
    assert (first["rule"], first["decision"], first["line"]) == ("root", "deny", 7)


def test_of_many(tmp_path):
    async def use(service):
        await service.scan_sample()
        body = {"digests": [MAIN, CLEAN, INDEX, OTHER], "namespace": "prod"}
        return (await service.ask("POST", "/v1/images/query", json=body)).json()["images"]

    found = run(tmp_path, use)
    assert [one["digest"] for one in found] == [MAIN, CLEAN, INDEX, OTHER]
    assert [one["verdict"] for one in found] == ["deny", "warn", "deny", "deny"]
    assert len(found[0]["reasons"]) == 10 < found[0]["reasons_count"]
    assert found[3]["reasons"][0]["code"] == "not-scanned"


class Outdated:
    """A judge whose policy's file is broken."""

    is_current = False


def test_a_policy_that_cannot_be_read(tmp_path):
    async def use(service):
        ready = (await service.get("/readyz", token="")).json()["policy"]
        lines = (await service.get("/metrics")).body.decode().splitlines()
        return ready, [line for line in lines if line.startswith("scanner_policy_current")]

    assert run(tmp_path, use) == ("current", ["scanner_policy_current 1.0"])
    assert run(tmp_path, use, judge=Outdated()) == ("outdated", ["scanner_policy_current 0.0"])
