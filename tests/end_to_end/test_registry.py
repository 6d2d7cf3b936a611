"""The real command against a real registry."""

from __future__ import annotations

import pytest
from support.faulty_registry import error_reply, start_faulty_registry
from support.image_builder import image, image_index
from support.scanning import (
    OS_RELEASE,
    dpkg_status,
    layer,
    names,
    python_package,
    run_scan,
    scan_json,
    timeless,
)

pytestmark = pytest.mark.real

BASE = layer(OS_RELEASE, dpkg_status("base"))
APP = image([BASE, layer(*python_package("one"))], {"User": "1"})
ARM = image([BASE, layer(*python_package("two"))], {"User": "1"}, architecture="arm64")
BOTH = image_index([APP, ARM])


@pytest.fixture
def scan(registry, tmp_path):
    def run(reference, *arguments, **settings):
        settings |= {"registry_insecure": registry.host}
        return scan_json(tmp_path / "home", f"{registry.host}/{reference}", *arguments, **settings)

    return run


def test_by_tag_and_by_digest(registry, scan):
    registry.push(APP, "team/app", "1")
    by_tag = scan("team/app:1")
    assert (by_tag.code, by_tag.complaints) == (0, "")
    assert by_tag.report["reference"] == f"{registry.host}/team/app:1"
    assert by_tag.report["digest"] == by_tag.image["digest"] == APP.digest
    assert names(by_tag.image) == {"base", "one"}
    by_digest = scan(f"team/app@{APP.digest}")
    assert by_digest.code == 0
    assert timeless(by_digest.image) == timeless(by_tag.image)


def test_second_scan_uses_the_store(registry, scan):
    registry.push(APP, "team/again", "1")
    first, second = scan("team/again:1"), scan("team/again:1")
    assert [x.get("cached", False) for x in first.image["layers"]] == [False, False]
    assert [x.get("cached", False) for x in second.image["layers"]] == [True, True]
    assert timeless(second.report) == timeless(first.report)


def test_index(registry, scan):
    registry.push(BOTH, "team/both", "1")
    every = scan("team/both:1")
    assert (every.code, every.report["digest"]) == (0, BOTH.digest)
    assert [names(one) for one in every.report["images"]] == [{"base", "one"}, {"base", "two"}]
    chosen = scan("team/both:1", "--platform=linux/arm64")
    assert (chosen.image["digest"], names(chosen.image)) == (ARM.digest, {"base", "two"})
    absent = scan("team/both:1", "--platform=linux/s390x")
    assert (absent.code, absent.stdout) == (4, "")
    assert "linux/amd64, linux/arm64" in absent.stderr


def test_offline_opens_no_connection(registry, scan):
    registry.push(APP, "team/off", "1")
    refused = scan("team/off:1", "--offline")
    assert (refused.code, refused.stdout) == (4, "")
    assert "offline" in refused.stderr


@pytest.mark.parametrize(
    "reference", ["team/none:1", "team/app:none", "team/app@sha256:" + "0" * 64]
)
def test_not_found(reference, registry, scan):
    registry.push(APP, "team/app", "1")
    outcome = scan(reference)
    assert (outcome.code, outcome.stdout) == (4, "")
    assert outcome.stderr.startswith("error: ")
    assert "unknown" in outcome.stderr.lower() or "not found" in outcome.stderr.lower()


def test_unauthorized(tmp_path):
    with start_faulty_registry() as server:
        server.gate = lambda _seen: error_reply(
            401, "UNAUTHORIZED", "log in", WWW_Authenticate='Basic realm="x"'
        )
        outcome = run_scan(
            tmp_path / "home", f"{server.host}/team/app:1", registry_insecure=server.host
        )
    assert (outcome.code, outcome.stdout) == (4, "")
    assert "log in" in outcome.stderr or "credentials" in outcome.stderr


def test_plain_http_only_when_asked_for(registry, tmp_path):
    registry.push(APP, "team/app", "1")
    outcome = run_scan(tmp_path / "home", f"{registry.host}/team/app:1", registry_retries_count=0)
    assert (outcome.code, outcome.stdout) == (4, "")
    assert outcome.stderr.startswith("error: ")


def test_fail_on(registry, tmp_path):
    registry.push(image([BASE], {"User": "0"}), "team/root", "1")
    reference = f"{registry.host}/team/root:1"
    codes = {
        severity: run_scan(
            tmp_path / "home", reference, f"--fail-on={severity}", registry_insecure=registry.host
        ).code
        for severity in ("medium", "high")
    }
    assert codes == {"medium": 1, "high": 0}


def test_no_reference(tmp_path):
    outcome = run_scan(tmp_path / "home", "UPPER/case")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")
