"""Questions across all images: packages, rules, tags; and the deliveries that brought them."""

from __future__ import annotations

import msgspec
import pytest
from support.sample_report import sample_report
from support.web.running import CLEAN, INDEX, MAIN, run

from scanner.model import Package, ScanState

VERSIONS = ("2.14.1", "2.16.0", "2.17", "2.17.1", "${log4j}")
PURL = "pkg:maven/org.apache.logging.log4j/log4j-core"


def images():
    """Return one image per version of log4j-core."""
    clean = sample_report().images[1]
    for number, version in enumerate(VERSIONS):
        package = Package(
            purl_type="maven",
            namespace="org.apache.logging.log4j",
            name="log4j-core",
            version=version,
            path="x.jar",
        )
        yield msgspec.structs.replace(clean, digest=f"sha256:{number:064x}", packages=(package,))


async def fill(service):
    for image in images():
        await service.scan_sample(digest=image.digest, images=(image,), state=image.state)


@pytest.mark.parametrize(
    ("purl", "version", "found"),
    [
        pytest.param(PURL, "<2.17", [0, 1], id="below"),
        pytest.param(PURL, ">=2.15,<2.17.1", [1, 2], id="between"),
        pytest.param(PURL, "2.17", [2], id="exact"),
        pytest.param(PURL + "@2.17.1", "", [3], id="in_the_purl"),
        pytest.param(PURL, "${log4j}", [4], id="exact_without_order"),
        pytest.param(PURL, "", [0, 1, 2, 3, 4], id="any"),
        pytest.param(PURL, ">3", [], id="none"),
        pytest.param("pkg:maven/other/log4j-core", "", [], id="other"),
    ],
)
def test_images_that_hold_a_package(where, purl, version, found):
    async def use(service):
        await fill(service)
        numbers, after = [], ""
        while True:
            query = {"purl": purl, "version": version, "after": after, "limit": "2"}
            page = (await service.get("/v1/packages", params=query)).json()
            numbers += [int(one["digest"][7:], 16) for one in page["items"]]
            after = page["next"]
            if not after:
                return sorted(numbers), page["incomparable_versions"]

    incomparable = ["${log4j}"] if version.startswith((">", "<")) else []
    assert run(where, use) == (found, incomparable)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param(
            {"purl": "pkg:oci/openssl", "version": "<3"}, "unknown-version-order", id="order"
        ),
        pytest.param({"purl": "openssl"}, "invalid-reference", id="no_purl"),
        pytest.param({"purl": PURL, "version": "~>1"}, "invalid-reference", id="no_range"),
        pytest.param({"purl": PURL, "version": "<${x}"}, "invalid-reference", id="no_version"),
        pytest.param({"purl": PURL + "@1", "version": "1"}, "bad-parameter", id="two_versions"),
        pytest.param({"version": "1"}, "bad-parameter", id="nothing"),
    ],
)
def test_questions_without_an_answer(where, query, code):
    async def use(service):
        return await service.get("/v1/packages", params=query)

    answer = run(where, use)
    assert (answer.status, answer.problem().code) == (400, code)


def test_what_a_rule_found(where):
    async def use(service):
        await service.scan_sample()
        some = await service.get("/v1/findings?rule=secret/private-key&path=srv/")
        none = await service.get("/v1/findings?rule=secret/nothing")
        wrong = await service.get("/v1/findings")
        return some.json(), none.json(), wrong.status

    some, none, wrong = run(where, use)
    assert {(one["digest"], one["finding"]["rule_id"]) for one in some["items"]} == {
        (MAIN, "secret/private-key")
    }
    assert len(some["items"]) == 6
    assert (none, wrong) == ({"items": [], "next": ""}, 400)


def test_where_a_tag_led(where):
    async def use(service):
        for digest in (INDEX, CLEAN):
            await service.scan_sample(digest=digest, images=(), state=ScanState.COMPLETE)
            for check in await service.store.tag_checks():
                await service.store.record_tag(check, digest)
        found = await service.get("/v1/tags?reference=reg.example:5000/team/app:1.2")
        unknown = await service.get("/v1/tags?reference=reg.example:5000/team/app:none")
        wrong = await service.get(f"/v1/tags?reference=reg.example:5000/team/app@{CLEAN}")
        return found.json(), unknown, wrong.status

    found, unknown, wrong = run(where, use)
    assert (found["registry"], found["repository"], found["tag"]) == (
        "reg.example:5000",
        "team/app",
        "1.2",
    )
    assert [one["digest"] for one in found["items"]] == [CLEAN, INDEX]
    assert found["items"][0]["replaced_at"] is None
    assert (unknown.status, unknown.problem().state) == (404, "unknown")
    assert wrong == 400


def test_deliveries_are_for_admins(where):
    async def use(service):
        return [
            (await service.get("/v1/deliveries?source=x", token=t)).status
            for t in ("boss", "asker")
        ]

    assert run(where, use) == [200, 403]
