"""Documents and registries that are broken, lie or do not end, through the real command."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.faulty_registry import (
    FaultyRegistry,
    Reply,
    error_reply,
    redirect,
    start_faulty_registry,
)
from support.image_builder import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Entry,
    Image,
    ImageIndex,
    descriptor,
    digest,
    image,
    image_index,
    layer_media_type,
    to_json,
)
from support.scanning import OS_RELEASE, Outcome, dpkg_status, files_below, layer, names, scan_json

from scanner.cli.exit_codes import ExitCode

BASE = layer(OS_RELEASE, dpkg_status("base"))
MORE = layer(Entry("noise", random.Random(2).randbytes(600_000)), dpkg_status("base", "more"))
APP = image([BASE, MORE], {"User": "1"})
GOOD = image([BASE], {"User": "1"}, architecture="arm64")
MANIFEST = "/v2/app/manifests/1"
CONFIG = f"/v2/app/blobs/{APP.image_id}"
LAYER = f"/v2/app/blobs/{digest(MORE)}"
TRIES = 2


@pytest.fixture
def server():
    with start_faulty_registry() as running:
        running.serve(APP, "app")
        yield running


@pytest.fixture
def other():
    with start_faulty_registry() as running:
        yield running


@pytest.fixture
def scan(server, tmp_path):
    def run(*arguments: str, **settings: object) -> Outcome:
        settings = {
            "registry_insecure": "127.0.0.1",
            "registry_retries_count": TRIES - 1,
        } | settings
        outcome = scan_json(tmp_path / "home", f"{server.host}/app:1", *arguments, **settings)
        assert not files_below(tmp_path / "home/cache/spool")
        return outcome

    return run


def is_refused(outcome: Outcome, word: str) -> None:
    """The reference could not even be resolved: no report, one error."""
    assert (outcome.code, outcome.stdout) == (ExitCode.FAILED, "")
    assert outcome.stderr.startswith("error: ")
    assert word in outcome.stderr


def is_failed(outcome: Outcome, word: str) -> None:
    """The image is in the report, as failed."""
    assert (outcome.code, outcome.complaints) == (ExitCode.FAILED, "")
    assert outcome.image["state"] == "failed"
    assert word in outcome.image["error"]
    assert [i["reason"] for i in outcome.image["coverage"]["issues"]] == [outcome.image["error"]]


def lacks_a_layer(outcome: Outcome, word: str) -> None:
    """One layer is told as not read; what the other holds is reported."""
    assert (outcome.code, outcome.complaints) == (ExitCode.INCOMPLETE, "")
    assert names(outcome.image) == {"base"}
    first, second = outcome.image["layers"]
    assert "error" not in first
    assert word in second["error"]
    assert second["digest"] in {i.get("layer") for i in outcome.image["coverage"]["issues"]}


def is_whole(outcome: Outcome, _word: str = "") -> None:
    assert (outcome.code, outcome.complaints) == (ExitCode.CLEAN, "")
    assert names(outcome.image) == {"base", "more"}


@dataclass(frozen=True)
class Fault:
    """What the registry does at one path, how often, and how the scan ends."""

    path: str
    reply: Reply
    ends: Callable[[Outcome, str], None]
    word: str = ""
    times: int = 9


def cut(content: bytes, at: int) -> Reply:
    return Reply(200, content, {"Content-Type": OCI_MANIFEST}, cut_after=at)


STAGES = {
    "manifest": (MANIFEST, APP.manifest_bytes, is_refused),
    "config": (CONFIG, APP.config_bytes, is_failed),
    "layer": (LAYER, MORE, lacks_a_layer),
}
BUSY = error_reply(429, "TOOMANYREQUESTS", "slow down", Retry_After="0")
OUTAGE = error_reply(500, "UNKNOWN", "out of order")
LOGIN = error_reply(401, "UNAUTHORIZED", "log in", WWW_Authenticate='Basic realm="x"')
PAGE = Reply(200, b"<html>Log in</html>", {"Content-Type": "text/html"})
FAULTS: dict[str, Fault] = {}
for _stage, (_path, _content, _ends) in STAGES.items():
    FAULTS |= {
        f"{_stage}_429_once": Fault(_path, BUSY, is_whole, times=1),
        f"{_stage}_429_for_ever": Fault(_path, BUSY, _ends, "slow down"),
        f"{_stage}_500_once": Fault(_path, OUTAGE, is_whole, times=1),
        f"{_stage}_500_for_ever": Fault(_path, OUTAGE, _ends, "out of order"),
        f"{_stage}_401_for_ever": Fault(_path, LOGIN, _ends, "log in"),
        f"{_stage}_hang_up_once": Fault(_path, Reply(hangs_up=True), is_whole, times=1),
        f"{_stage}_hang_up_for_ever": Fault(_path, Reply(hangs_up=True), _ends, "connection"),
        f"{_stage}_cut_once": Fault(_path, cut(_content, len(_content) // 2), is_whole, times=1),
        f"{_stage}_cut_at_the_start_for_ever": Fault(_path, cut(_content, 0), _ends, "connection"),
        f"{_stage}_cut_for_ever": Fault(_path, cut(_content, 9), _ends, "connection"),
        f"{_stage}_html": Fault(_path, PAGE, _ends),
        f"{_stage}_endless": Fault(_path, Reply(200, b" " * 65_536, {"Content-Type": OCI_MANIFEST}, endless=True), _ends),
        f"{_stage}_redirect_to_metadata": Fault(_path, redirect("http://169.254.169.254/latest"), _ends, "169.254.169.254"),
        f"{_stage}_redirect_to_file": Fault(_path, redirect("file:///etc/passwd"), _ends),
    }  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name, server, scan):
    fault = FAULTS[name]
    server.script(fault.path, *[fault.reply] * fault.times)
    fault.ends(scan(), fault.word)


@pytest.mark.parametrize("stage", STAGES)
def test_redirect_to_another_host(stage, server, other, scan):
    path, content, _ = STAGES[stage]
    server.script(path, redirect(f"{other.url}/elsewhere"))
    other.script("/elsewhere", Reply(200, content, {"Content-Type": OCI_MANIFEST}))
    is_whole(scan(registry_username="u", registry_password="p" * 20))
    assert [seen.authorization for seen in other.seen] == [""]


def test_tries_end_soon(server, scan):
    server.gate = lambda _seen: LOGIN
    is_refused(scan(registry_username="u", registry_password="p" * 20), "log in")
    assert len(server.seen) <= 2 * TRIES


def manifest_of(**changes: object) -> Image:
    """Return the good arm64 image's twin for amd64, its manifest changed."""
    one = image([BASE], {"User": "1"})
    document = json.loads(one.manifest_bytes) | changes
    return Image(to_json(document), one.config_bytes, one.layers, platform=one.platform)


def with_config(content: bytes) -> Image:
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, content),
        "layers": [descriptor(layer_media_type(BASE), BASE)],
    }
    platform = {"os": "linux", "architecture": "amd64"}
    return Image(to_json(manifest), content, (BASE,), platform=platform)


def sized(size: object) -> Image:
    return manifest_of(layers=[descriptor(layer_media_type(BASE), BASE, size=size)])


DOCUMENTS = {
    "layers_and_manifests": (manifest_of(manifests=[]), "both an index"),
    "another_media_type": (manifest_of(mediaType=OCI_INDEX), "mediaType"),
    "negative_size": (sized(-1), "size"),
    "huge_size": (sized(2**64), "size"),
    "size_is_a_text": (sized("1"), "size"),
    "digest_is_a_path": (
        manifest_of(
            layers=[{**descriptor(layer_media_type(BASE), BASE), "digest": "../../etc/passwd"}]
        ),
        "digest",
    ),
    "no_layers": (manifest_of(layers=None), "layers"),
    "too_many_layers": (
        manifest_of(layers=[descriptor(layer_media_type(BASE), BASE)] * 1_001),
        "layers_count",
    ),
    "two_keys_that_differ_in_case": (manifest_of(Layers=[]), "differ only in case"),
    "nested": (
        Image(b"[" * 100_000, b"{}", (), platform={"os": "linux", "architecture": "amd64"}),
        "",
    ),
    "config_is_not_json": (with_config(b"not json \x1b[31m"), "config"),
    "config_is_a_list": (with_config(b"[]"), "config"),
    "config_is_nested": (with_config(b"[" * 100_000), "config"),
    "config_without_layers": (with_config(b"{}"), "diff_ids"),
    "config_with_odd_diff_id": (with_config(b'{"rootfs":{"diff_ids":["x"]}}'), "diff_ids"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_alone(name, server, scan):
    bad, word = DOCUMENTS[name]
    server.serve(bad, "app")
    outcome = scan()
    assert outcome.code == ExitCode.FAILED
    assert word in (outcome.image["error"] if outcome.stdout else outcome.stderr)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_beside_a_good_image(name, server, scan):
    bad, word = DOCUMENTS[name]
    server.serve(image_index([bad, GOOD]), "app")
    outcome = scan()
    assert (outcome.code, outcome.complaints) == (ExitCode.FAILED, "")
    failed, fine = outcome.report["images"]
    assert (failed["state"], fine["state"]) == ("failed", "complete")
    assert word in failed["error"]
    assert names(fine) == {"base"}


def test_media_type_and_content_type_disagree(server, scan):
    server.script(MANIFEST, Reply(200, APP.manifest_bytes, {"Content-Type": OCI_INDEX}))
    is_refused(scan(), "served as")


def test_child_of_an_index_is_served_as_another_type(server, scan):
    bad = image([MORE], {"User": "1"})
    server.serve(image_index([bad, GOOD]), "app")
    path = f"/v2/app/manifests/{bad.digest}"
    server.script(path, *[Reply(200, bad.manifest_bytes, {"Content-Type": OCI_INDEX})] * 9)
    outcome = scan()
    failed, fine = outcome.report["images"]
    assert (outcome.code, failed["state"], names(fine)) == (ExitCode.FAILED, "failed", {"base"})
    assert "served as" in failed["error"]


@pytest.mark.parametrize("stage", STAGES)
def test_bytes_with_another_digest(stage, server: FaultyRegistry, scan):
    path, content, ends = STAGES[stage]
    server.script(path, Reply(200, bytes(len(content)), {"Content-Type": OCI_MANIFEST}))
    ends(scan(), "JSON" if stage == "manifest" else "expected sha256")


def test_endless_index_of_indexes(server, scan):
    nested: ImageIndex = image_index([GOOD])
    for _ in range(9):
        nested = image_index([nested])
    server.serve(nested, "app")
    is_refused(scan(), "limit index_depth")
