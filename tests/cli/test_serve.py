"""A real service, a real registry that tells it of pushes, and the commands that ask it."""

from __future__ import annotations

import subprocess

import pytest
import requests
from support.demo_images import demo_image
from support.image_builder import image, image_index, write_oci_layout
from support.scanning import (
    OS_RELEASE,
    dpkg_status,
    layer,
    names,
    python_package,
    scan_json,
    timeless,
)
from support.serving import WEBHOOK_SECRET, start_both, until

pytestmark = pytest.mark.real

BASE = layer(OS_RELEASE, dpkg_status("base"))
APP = image([BASE, layer(*python_package("one"))], {"User": "1"})
ARM = image([BASE, layer(*python_package("two"))], {"User": "1"}, architecture="arm64")
BOTH = image_index([APP, ARM])
NEWER = image([BASE, layer(*python_package("three"))], {"User": "1"})
DEMO = demo_image()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with start_both(tmp_path_factory.mktemp("both")) as running:
        yield running


def scans_of(service, digest):
    return [s for s in service.get("/v1/scans")["items"] if s["digest"] == digest]


def test_a_push_answers_complete_with_the_findings_of_a_scan(both, tmp_path):
    service, registry = both
    layout = write_oci_layout({"1": DEMO}, tmp_path / "layout")
    subprocess.run(
        ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{registry.host}/demo:1"],
        check=True,
    )  # fmt: skip
    done = service.ask(DEMO.digest, "--wait=60", "--format=json", "--fail-on=high")
    assert (done.code, done.stderr) == (1, "")
    here = scan_json(tmp_path / "home", f"oci:{layout}")
    assert timeless(done.image) == timeless(here.image)
    answer = service.get(f"/v1/images/{DEMO.digest}")
    assert (answer["state"], answer["severities"]["high"]) == ("complete", 1)


def test_a_short_answer(both):
    service, registry = both
    registry.push(APP, "short", "1")
    done = service.ask(APP.digest, "--wait=60")
    assert done.code == 0
    assert done.stdout.splitlines()[0] == APP.digest
    assert done.stdout.splitlines()[3].startswith("complete: ")
    assert done.stdout.splitlines()[4] == "warn by policy default"


def test_an_index_answers_for_all_its_images(both):
    service, registry = both
    registry.push(BOTH, "index", "1")
    done = service.ask(BOTH.digest, "--wait=60", "--format=json")
    assert done.code == 0
    assert [names(one) for one in done.report["images"]] == [{"base", "one"}, {"base", "two"}]
    assert service.get(f"/v1/images/{BOTH.digest}")["kind"] == "index"


def test_a_tag_that_moves(both):
    service, registry = both
    registry.push(APP, "moving", "1")
    named = f"{registry.host}/moving:1"
    until(lambda: service.ask(named).stdout.startswith(APP.digest))
    registry.push(NEWER, "moving", "1")
    until(lambda: service.ask(named).stdout.startswith(NEWER.digest))
    assert service.ask(named, "--wait=60", "--format=json").report["digest"] == NEWER.digest
    history = service.get(f"/v1/tags?reference={named}")["items"]
    assert [(one["digest"], one["replaced_at"] is None) for one in history] == [
        (NEWER.digest, True),
        (APP.digest, False),
    ]


def test_pushed_again_is_not_scanned_again(both):
    service, registry = both
    pushed = image([BASE, layer(*python_package("again"))], {"User": "1"})
    registry.push(pushed, "again", "1")
    assert service.ask(pushed.digest, "--wait=60").code == 0
    before = scans_of(service, pushed.digest)
    registry.push(pushed, "again", "1")
    registry.push(pushed, "again", "2")
    until(lambda: service.ask(f"{registry.host}/again:2").stdout.startswith(pushed.digest))
    assert scans_of(service, pushed.digest) == before
    assert len(before) == 1


def test_scan_on_the_server_prints_what_a_scan_here_prints(both, tmp_path):
    service, registry = both
    reference = registry.push(image([BASE, layer(*python_package("x"))]), "there", "1")
    there = service.run("scan", reference, "--server", service.url, "--format=json")
    here = scan_json(tmp_path / "home", reference, registry_insecure=registry.host)
    assert (there.code, there.stderr) == (0, "")
    assert timeless(there.report) == timeless(here.report)
    denied = service.run("scan", reference, "--server", service.url, "--fail-on=medium")
    assert denied.code == 1
    assert "The image runs as root" in denied.stdout


def test_a_reference_is_scanned_because_somebody_waits(both):
    service, registry = both
    missing = service.ask(f"{registry.host}/nowhere:1", "--wait=60")
    assert missing.code == 4
    assert "MANIFEST_UNKNOWN" in missing.stdout
    scanned = service.run("scan", f"{registry.host}/nowhere:2", "--server", service.url)
    assert (scanned.code, scanned.stdout) == (4, "")
    assert "MANIFEST_UNKNOWN" in scanned.stderr


def test_what_is_not_known(both):
    service, _ = both
    done = service.ask(f"sha256:{'0' * 64}")
    assert (done.code, done.stderr) == (5, "")
    assert "unknown" in done.stdout
    late = service.ask(f"sha256:{'0' * 64}", "--wait=0.2", "--format=json")
    assert late.code == 5


def test_the_database_here_is_asked_without_a_server(both):
    service, registry = both
    registry.push(APP, "here", "1")
    done = service.run("query", APP.digest, "--wait=60", "--format=json")
    assert done.code == 0
    assert names(done.image) == {"base", "one"}
    assert service.run("query", f"{registry.host}/here:1", "--wait=60").code == 0


@pytest.mark.parametrize("token", ["", "scn_wrong"], ids=["none", "wrong"])
def test_without_the_right_token(both, token):
    service, registry = both
    service.get(f"/v1/images/{APP.digest}", token=token, status=401)
    done = service.ask(APP.digest, token=token)
    assert (done.code, done.stdout) == (4, "")
    assert "SCANNER_TOKEN" in done.stderr
    scan = service.run("scan", f"{registry.host}/x:1", "--server", service.url, token=token)
    assert scan.code == 4
    url = f"{service.url}/v1/webhooks/distribution"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with requests.post(url, data=b'{"events": []}', headers=headers, timeout=30) as response:
        assert response.status_code == 401


def test_a_registry_that_is_not_allowed(both):
    service, _ = both
    done = service.run("scan", "elsewhere.example/x:1", "--server", service.url)
    assert done.code == 4
    assert "allowed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("scan", "oci:x"), "registries only"),
        (("scan", "./x"), "registries only"),
        (("scan", "x", "--offline"), "not with --server"),
        (("scan", "x", "--insecure-registry", "x"), "not with --server"),
        (("query", "sha256:short"), "not a sha256"),
        (("query", "UPPER CASE"), "repository"),
    ],
)
def test_wrong_use(both, arguments, reason):
    service, _ = both
    done = service.run(*arguments, "--server", service.url)
    assert done.code == 2
    assert reason in done.stderr


def test_no_secret_is_in_the_log(both):
    service, _ = both
    text = service.log_text
    assert "scan finished" in text
    assert service.token not in text
    assert WEBHOOK_SECRET not in text
