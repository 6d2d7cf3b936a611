"""What a queued scan asks for, and what its errors mean for the queue."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from support.sample_report import sample_report

from scanner.errors import (
    DigestMismatchError,
    ForbiddenHostError,
    InvalidReferenceError,
    LimitExceededError,
    MalformedManifestError,
    NotFoundError,
    SettingsError,
    StoreError,
    UnauthorizedError,
    UnsupportedError,
    UpstreamError,
)
from scanner.model import FileIssue, Platform
from scanner.ports import JobState, ScanRecord
from scanner.service._attempt import Failure, Task, failure_of, passing_failure, task_of
from scanner.service._tally import Tally

DIGEST = "sha256:" + "0" * 64
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def record(**more):
    values = {
        "id": "1",
        "reference": "not believed",
        "registry": "registry.example",
        "repository": "team/app",
        "tag": "",
        "digest": DIGEST,
        "platforms": (),
        "state": JobState.SCANNING,
        "priority": 1,
        "requested_by": "",
        "attempts": 1,
        "stage": "",
        "progress": {},
        "error_code": "",
        "error": "",
        "created_at": NOW,
        "not_before_at": NOW,
        "started_at": NOW,
        "finished_at": None,
        "leased_by": "w",
        "fingerprint": "",
        "cancel_requested": False,
    }
    return ScanRecord(**(values | more))


def is_allowed(host):
    return host != "evil.example"


@pytest.mark.parametrize(
    ("asked", "reference"),
    [
        ({}, f"registry://registry.example/team/app@{DIGEST}"),
        ({"tag": "1"}, f"registry://registry.example/team/app:1@{DIGEST}"),
        ({"tag": "1", "digest": ""}, "registry://registry.example/team/app:1"),
        ({"registry": "oci:5000"}, f"registry://oci:5000/team/app@{DIGEST}"),
        (
            {"registry": "docker.io", "repository": "library/alpine"},
            f"registry://docker.io/library/alpine@{DIGEST}",
        ),
    ],
)
def test_task_of(asked, reference):
    assert task_of(record(**asked), is_allowed) == Task(reference, ())


def test_task_has_platforms():
    task = task_of(record(platforms=("linux/x86_64",)), is_allowed)
    assert task.platforms == (Platform(os="linux", architecture="amd64"),)


@pytest.mark.parametrize(
    "asked",
    [
        {"registry": "registry"},
        {"registry": ""},
        {"registry": "evil.example/x"},
        {"registry": "registry.example@evil.example"},
        {"registry": "docker.io", "repository": "alpine"},
        {"repository": "../../etc"},
        {"repository": ""},
        {"tag": "a/b"},
        {"digest": "sha256:0"},
        {"platforms": ("linux",)},
    ],
)
def test_task_that_means_something_else(asked):
    with pytest.raises(InvalidReferenceError):
        task_of(record(**asked), is_allowed)


def test_task_of_a_host_that_is_not_allowed():
    with pytest.raises(ForbiddenHostError):
        task_of(record(registry="evil.example"), is_allowed)


@pytest.mark.parametrize(
    ("error", "retryable", "seconds"),
    [
        (UpstreamError("h", "o", "HTTP 503", retryable=True), True, 0.0),
        (UpstreamError("h", "o", "HTTP 429", retryable=True, after_seconds=60.0), True, 60.0),
        (UpstreamError("h", "o", "HTTP 429", retryable=True, after_seconds=1e9), True, 21_600.0),
        (UpstreamError("h", "o", "HTTP 400"), False, 0.0),
        (UnauthorizedError("h", "o", "HTTP 401"), False, 0.0),
        (NotFoundError("h", "o", "HTTP 404"), False, 0.0),
        (ForbiddenHostError("h", "o", "no"), False, 0.0),
        (InvalidReferenceError("h", "o"), False, 0.0),
        (MalformedManifestError("x"), False, 0.0),
        (LimitExceededError("layers_count", 1, 2), False, 0.0),
        (DigestMismatchError("x", "y", "z"), False, 0.0),
        (UnsupportedError("x", "y"), False, 0.0),
        (StoreError("x", "y"), True, 0.0),
        (SettingsError("x", "y"), True, 0.0),
    ],
    ids=lambda value: f"{value.code}-{value}"[:40] if isinstance(value, Exception) else "",
)
def test_failure_of(error, retryable, seconds):
    assert failure_of(error) == Failure(error.code, str(error), retryable, seconds)


def test_reason_is_bounded_and_printable():
    reason = failure_of(MalformedManifestError("a\0b\x1b[31m\n" + "x" * 9_000)).reason
    assert reason.startswith("a b [31m x")
    assert (len(reason), reason.isprintable()) == (500, True)


@pytest.mark.parametrize(
    ("code", "passes"),
    [("upstream-error", True), ("store-error", True), ("not-found", False), ("skipped", False)],
)
def test_passing_failure(code, passes):
    issue = FileIssue(path="", reason="why", code=code, layer=DIGEST)
    whole = sample_report()
    image = whole.images[0]
    coverage = msgspec.structs.replace(image.coverage, issues=(issue,))
    image = msgspec.structs.replace(image, coverage=coverage)
    report = msgspec.structs.replace(whole, images=(image,))
    assert passing_failure(report) == (Failure(code, "why", retryable=True) if passes else None)


def test_tally():
    tally = Tally()
    assert tally.snapshot()[0] == ""
    tally.stage("extract")
    one = tally.layer("sha256:1", 100, "linux/amd64")
    two = tally.layer("sha256:2", 50, "linux/amd64")
    one.advance(60, 600)
    one.advance(60, 600)  # longer than it was said to be
    two.finish("cached")
    assert tally.snapshot() == (
        "extract",
        {
            "layers_count": 2,
            "layers_done_count": 1,
            "total_bytes": 150,
            "done_bytes": 150,
            "uncompressed_bytes": 1200,
        },
    )
