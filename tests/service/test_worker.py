"""From a queued digest to what the store answers: a real registry, a real queue, real scans."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from support.faulty_registry import Reply, error_reply, start_faulty_registry
from support.image_builder import OCI_CONFIG, digest, image, image_index
from support.scanning import OS_RELEASE, dpkg_status, layer
from support.service import Service, app_image, wait_for

from scanner.model import ScanState
from scanner.ports import JobState
from scanner.service.worker import WorkerEnd

ONE, TWO = app_image("one"), app_image("two")
ARM = image([layer(OS_RELEASE, dpkg_status("arm"))], {"User": "1"}, architecture="arm64")
BOTH = image_index([ONE, ARM])


@pytest.fixture
def faulty():
    with start_faulty_registry() as running:
        running.serve(ONE, "team/app", "1")
        running.serve(TWO, "team/app", "2")
        yield running


@pytest.mark.real
def test_a_digest_is_scanned_and_answered_for(registry, where, tmp_path, shared_cache):
    service = Service(where, tmp_path / "home", shared_cache)
    reference = registry.push(ONE, "service/one")
    scan_id = service.push(reference)
    assert service.work() is WorkerEnd.RECYCLED
    record = service.scan(scan_id)
    assert (record.state, record.attempts, record.error_code) == (JobState.COMPLETE, 1, "")
    assert record.fingerprint == service.fingerprint
    summary = service.ask(lambda store: store.image(ONE.digest))
    assert (summary.state, summary.packages_count) == (ScanState.COMPLETE, 1)
    page = service.ask(lambda store: store.packages(ONE.digest))
    assert [package.name for package in page.items] == ["one"]
    again = service.push(reference)
    assert again == scan_id


@pytest.mark.real
def test_a_tag_is_resolved(registry, service):
    registry.push(TWO, "service/tagged", "1")
    scan_id = service.push(f"{registry.host}/service/tagged:1")
    service.work()
    record = service.scan(scan_id)
    assert (record.state, record.tag, record.digest) == (JobState.COMPLETE, "1", TWO.digest)
    history = service.ask(lambda store: store.tag_history(registry.host, "service/tagged", "1"))
    assert [entry.digest for entry in history.items] == [TWO.digest]


@pytest.mark.real
def test_an_index(registry, service):
    scan_id = service.push(registry.push(BOTH, "service/index"))
    service.work()
    assert service.scan(scan_id).state is JobState.COMPLETE
    summary = service.ask(lambda store: store.image(BOTH.digest))
    assert (summary.kind, summary.state, summary.packages_count) == ("index", "complete", 2)
    children = service.ask(lambda store: store.index_children(BOTH.digest))
    assert children == (ONE.digest, ARM.digest)


@pytest.mark.real
def test_one_platform(registry, service):
    scan_id = service.push(registry.push(BOTH, "service/platform"), platforms=("linux/arm64",))
    service.work()
    assert service.scan(scan_id).state is JobState.COMPLETE
    assert service.ask(lambda store: store.image(ARM.digest)) is not None
    assert service.ask(lambda store: store.image(ONE.digest)) is None


def test_what_can_pass_is_tried_again(faulty, service):
    path = f"/v2/team/app/manifests/{ONE.digest}"
    faulty.script(path, Reply(500), error_reply(429, "TOOMANYREQUESTS", "slow", Retry_After="900"))
    scan_id = service.push(f"{faulty.host}/team/app@{ONE.digest}")
    service.work()
    record = service.scan(scan_id)
    assert (record.state, record.error_code) == (JobState.QUEUED, "upstream-error")
    assert "HTTP 500" in record.error
    service.hurry()
    service.work()
    record = service.scan(scan_id)
    assert (record.state, record.attempts) == (JobState.QUEUED, 2)
    wait = record.not_before_at - record.started_at
    assert wait.total_seconds() >= 900
    service.hurry()
    service.work()
    record = service.scan(scan_id)
    assert (record.state, record.attempts, record.error) == (JobState.COMPLETE, 3, "")


def test_a_registry_that_asks_for_long_gets_it(faulty, service):
    service.more["registry_retries_count"] = 4
    slow = error_reply(429, "TOOMANYREQUESTS", "slow", Retry_After="900")
    faulty.gate = lambda _seen: slow
    scan_id = service.push(f"{faulty.host}/team/app@{ONE.digest}")
    service.work()
    record = service.scan(scan_id)
    assert (record.not_before_at - record.started_at).total_seconds() >= 900
    assert len(faulty.seen) == 1


def test_a_layer_that_could_not_be_had_is_tried_again(faulty, service):
    path = f"/v2/team/app/blobs/{digest(ONE.layers[0])}"
    faulty.script(path, *[Reply(503)] * 2)
    scan_id = service.push(f"{faulty.host}/team/app@{ONE.digest}")
    service.work()
    assert service.scan(scan_id).state is JobState.QUEUED
    assert service.ask(lambda store: store.image(ONE.digest)) is None
    service.hurry()
    service.work(attempts_count=2)  # the last one: what it saw is better than nothing
    assert service.scan(scan_id).state is JobState.FAILED
    summary = service.ask(lambda store: store.image(ONE.digest))
    assert summary.state is ScanState.FAILED
    assert "503" in summary.error


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("team/app:none", "not-found"),
        (f"team/none@{ONE.digest}", "not-found"),
        ("team/secret:1", "unauthorized"),
        ("team/away:1", "forbidden-host"),
        ("team/broken:1", "malformed-manifest"),
        ("team/chart:1", "unsupported"),
        ("../etc:1", "invalid-reference"),
    ],
)
def test_what_cannot_pass_is_not_tried_again(faulty, service, reference, code):
    faulty.script("/v2/team/secret/manifests/1", *[Reply(401)] * 5)
    away = Reply(307, headers={"Location": "http://169.254.169.254/latest"})
    faulty.script("/v2/team/away/manifests/1", away)
    broken = Reply(200, b"{", {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
    faulty.script("/v2/team/broken/manifests/1", broken)
    helm = b"application/vnd.cncf.helm.config.v1+json"
    content = ONE.manifest_bytes.replace(OCI_CONFIG.encode(), helm)
    faulty.serve(dataclasses.replace(ONE, manifest_bytes=content), "team/chart", "1")
    scan_id = service.push(f"{faulty.host}/{reference}")
    service.work()
    record = service.scan(scan_id)
    assert (record.state, record.error_code, record.attempts) == (JobState.FAILED, code, 1)
    assert record.error


def test_a_host_that_is_not_allowed_is_not_asked(faulty, service):
    scan_id = service.push(f"{faulty.host}/team/app:1")
    service.work(is_allowed=lambda _host: False)
    record = service.scan(scan_id)
    assert (record.state, record.error_code) == (JobState.FAILED, "forbidden-host")
    assert faulty.seen == []


@pytest.fixture
def held(faulty):
    """Hold back every layer until ``held.release`` is set; ``held.asked`` tells that one is wanted."""

    class Held:
        asked, release = threading.Event(), threading.Event()

    def gate(seen):
        if "/blobs/" in seen.path and seen.path.rpartition("/")[2] not in (
            ONE.image_id,
            TWO.image_id,
        ):
            Held.asked.set()
            Held.release.wait(30)

    faulty.gate = gate
    yield Held
    Held.release.set()


def test_progress_is_told(faulty, held, service):
    scan_id = service.push(f"{faulty.host}/team/app@{ONE.digest}")
    thread = threading.Thread(target=service.work)
    thread.start()
    record = wait_for(lambda: (r := service.scan(scan_id)).stage == "extract" and r)
    assert record.state is JobState.SCANNING
    assert record.progress["layers_count"] == 1
    assert record.progress["total_bytes"] == len(ONE.layers[0])
    held.release.set()
    thread.join()
    assert service.scan(scan_id).state is JobState.COMPLETE


def test_cancel_while_scanning(faulty, held, service):
    service.more["queue_lease_seconds"] = 1.5
    scan_id = service.push(f"{faulty.host}/team/app@{ONE.digest}")
    ends = []
    thread = threading.Thread(target=lambda: ends.append(service.work(2, stop_seconds=0.1)))
    thread.start()
    held.asked.wait(30)
    assert service.ask(lambda store: store.cancel(scan_id))
    thread.join()
    # The scan waits for bytes that do not come: the process has to end for it.
    assert ends == [WorkerEnd.STUCK]
    assert service.scan(scan_id).state is JobState.CANCELLED
    assert service.ask(lambda store: store.image(ONE.digest)) is None


def test_a_lost_lease_ends_the_scan_silently(faulty, held, service):
    service.more["queue_lease_seconds"] = 1.5
    scan_id = service.push(f"{faulty.host}/team/app@{ONE.digest}")
    thread = threading.Thread(target=service.work, kwargs={"stop_seconds": 0.1})
    thread.start()
    held.asked.wait(30)
    service.execute("UPDATE scans SET attempts = attempts + 1, leased_by = 'another'")
    thread.join()
    record = service.scan(scan_id)
    assert (record.state, record.leased_by) == (JobState.SCANNING, "another")


def test_a_scan_that_does_not_end_is_given_up(faulty, held, service):
    service.more["queue_lease_seconds"] = 1.5
    scan_id = service.push(f"{faulty.host}/team/app@{ONE.digest}")
    thread = threading.Thread(target=service.work, kwargs={"stop_seconds": 0.1})
    thread.start()
    held.asked.wait(30)
    service.execute("UPDATE scans SET started_at = 1")
    thread.join()
    record = service.scan(scan_id)
    assert (record.state, record.error_code) == (JobState.FAILED, "limit-exceeded")


def test_the_process_is_used_up(service):
    assert service.work(0) is WorkerEnd.RECYCLED
    assert service.work(memory_bytes=1) is WorkerEnd.RECYCLED


def test_told_to_stop_before_it_began(faulty, service):
    scan_id = service.push(f"{faulty.host}/team/app:1")
    stop = threading.Event()
    stop.set()
    assert service.work(stop=stop) is WorkerEnd.STOPPED
    assert service.scan(scan_id).state is JobState.QUEUED


def test_a_defect_ends_one_scan_only(faulty, service, monkeypatch):
    ids = [service.push(f"{faulty.host}/team/app@{one.digest}") for one in (ONE, TWO)]

    def broken(*_args):
        monkeypatch.undo()
        raise ZeroDivisionError("its text may quote anything")

    monkeypatch.setattr("scanner.service._attempt.scan", broken)
    service.work(2)
    records = [service.scan(scan_id) for scan_id in ids]
    assert [r.state for r in records] == [JobState.FAILED, JobState.COMPLETE]
    assert (records[0].error_code, records[0].error) == (
        "internal-error",
        "the scanner failed: ZeroDivisionError",
    )
