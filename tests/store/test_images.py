from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from support.queueing import change, enqueue, report_of, rows, transaction, wish
from support.sample_report import HOSTILE, finding, sample_report

from scanner.errors import StoreError
from scanner.model import (
    LayerSummary,
    Package,
    ScanReport,
    ScanState,
    Severity,
)
from scanner.ports.service import FindingFilter, LeaseState
from scanner.store import open_store
from scanner.store._answers import packed_report, unpack_report
from scanner.store._contents import findings, images_with_package, packages
from scanner.store._images import write_report
from scanner.store._moments import now_ms
from scanner.store._tables import (
    FINDINGS,
    IMAGE_LAYERS,
    IMAGE_LOCATIONS,
    IMAGE_PACKAGES,
    IMAGE_REPORTS,
    IMAGES,
    INDEX_CHILDREN,
    PACKAGES,
    TAGS,
)
from scanner.store.queue import open_queue

DIGEST = "sha256:" + "9" * 64
NOW = datetime.now(UTC)


def write(where, report, **more):
    with transaction(where) as connection:
        write_report(connection, report, **{"at_ms": now_ms(), **more})


def images(where):
    return {row["digest"]: row for row in rows(where, IMAGES)}


def told(where, digest) -> ScanReport:
    with transaction(where) as connection:
        return unpack_report(packed_report(connection, digest))


def with_image(report, **changes):
    image = msgspec.structs.replace(report.images[0], **changes)
    return msgspec.structs.replace(report, images=(image,), state=image.state)


def today(report):
    return msgspec.structs.replace(report, started_at=NOW.isoformat(timespec="seconds"))


def test_an_image(where):
    report = report_of(DIGEST)
    image = report.images[0]
    write(where, report, registry="reg.example", repository="a/b", at_ms=1_700_000_000_000)
    [row] = rows(where, IMAGES)
    assert {name: row[name] for name in row if name not in ("key", "envelope", "coverage")} == {
        "digest": DIGEST,
        "kind": "image",
        "platform": "linux/amd64",
        "config_digest": image.image_id,
        "state": "partial",
        "critical_count": sum(f.severity is Severity.CRITICAL for f in image.findings),
        "high_count": 1,
        "medium_count": 1,
        "low_count": 30,
        "info_count": 2,
        "packages_count": 2,
        "error": "",
        "reference": f"reg.example/a/b@{DIGEST}",
        "fingerprint": report.fingerprint,
        "report_fingerprint": f"{report.fingerprint}-told",
        "scanned_at": 1_700_000_000_000,
    }
    coverage = json.loads(row["coverage"])
    assert (coverage["issues_count"], coverage["limits_count"]) == (9, 1)
    assert (coverage["ecosystems"], coverage["files_count"]) == ({"deb": 2, "pypi": 1}, 21_500)
    assert coverage["not_looked_for"] == ["vulnerability"]
    layers = [row["layer_digest"] for row in rows(where, IMAGE_LAYERS)]
    assert layers == [layer.digest for layer in image.layers]
    [location] = rows(where, IMAGE_LOCATIONS)
    assert (location["registry"], location["repository"]) == ("reg.example", "a/b")
    expected = msgspec.structs.replace(report, reference=f"reg.example/a/b@{DIGEST}")
    assert told(where, DIGEST) == expected


def test_an_index_is_its_images_worst_and_their_sums(where):
    report = sample_report()
    write(where, report, registry="reg.example", repository="a/b")
    known = images(where)
    index = known[report.digest]
    assert (index["kind"], index["state"], index["low_count"]) == ("index", "failed", 30)
    assert index["error"] == "linux/s390x: config: it is not JSON"
    coverage = json.loads(index["coverage"])
    assert coverage["files_count"] == 21_500 + 1 + 21_500
    assert (coverage["ecosystems"]["deb"], coverage["skipped_count"]) == (4, 1)
    assert coverage["distribution_recognised"] is False
    children = rows(where, INDEX_CHILDREN)
    assert [row["child_digest"] for row in children] == [i.digest for i in report.images]
    assert len(rows(where, IMAGE_LOCATIONS)) == 4
    again = told(where, report.digest)
    assert again.images == report.images
    assert again.skipped == report.skipped


def test_what_was_there_is_replaced(where):
    report = report_of(DIGEST)
    write(where, report)
    package = Package(purl_type="npm", name="left-pad", version="1", path="a")
    newer = with_image(
        report,
        packages=(package,),
        findings=(finding("x/y", Severity.LOW, "p"),),
        layers=(),
        state=ScanState.COMPLETE,
    )
    write(where, newer)
    [row] = rows(where, IMAGES)
    assert (row["state"], row["packages_count"], row["low_count"], row["high_count"]) == (
        "complete",
        1,
        1,
        0,
    )
    assert [r["rule_id"] for r in rows(where, FINDINGS)] == ["x/y"]
    assert len(rows(where, IMAGE_PACKAGES)) == 1
    assert rows(where, IMAGE_LAYERS) == []
    assert told(where, DIGEST).images == newer.images


def test_each_distinct_package_once(where):
    first, second = report_of(DIGEST), report_of("sha256:" + "8" * 64)
    write(where, first)
    write(where, second)
    assert len(rows(where, PACKAGES)) == 2
    assert len(rows(where, IMAGE_PACKAGES)) == 4
    with transaction(where) as connection:
        page = images_with_package(
            connection, "pypi", "", "flask", versions=["3.0"], after="", limit=10
        )
    assert {use.digest for use in page.items} == {DIGEST, second.digest}


def test_more_rows_than_one_statement_takes(where):
    many = tuple(
        Package(purl_type="npm", name=f"p{n % 2_500}", version="1", path=f"a/{n}")
        for n in range(3_100)
    )
    report = with_image(report_of(DIGEST), packages=many)
    write(where, report)
    assert len(rows(where, PACKAGES)) == 2_500
    found, after = [], ""
    with transaction(where) as connection:
        while True:
            page = packages(connection, DIGEST, after=after, limit=1_000)
            found += page.items
            after = page.next
            if not after:
                break
    assert [package.path for package in found] == [package.path for package in many]


def test_findings_are_worst_first(where):
    write(where, report_of(DIGEST))
    with transaction(where) as connection:
        page = findings(connection, FindingFilter(digest=DIGEST), after="", limit=100)
    ranks = [item.finding.severity.rank for item in page.items]
    assert ranks == sorted(ranks, reverse=True)
    assert len(page.items) == len(report_of(DIGEST).images[0].findings)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\0b", id="nul"),
        pytest.param(HOSTILE, id="control_characters"),
        pytest.param("é" * 100_000, id="long"),
        pytest.param("'; DROP TABLE images; --", id="quotes"),
    ],
)
def test_hostile_texts(where, text):
    """The tables have what they can hold; the report has all of it."""
    package = Package(
        purl_type=text, namespace=text, name=text, version=text, path=text, qualifiers={"a": text}
    )
    bad = finding(text, Severity.HIGH, text, package=text, fingerprint=text, title=text)
    report = with_image(
        report_of(DIGEST, reference=text), packages=(package,), findings=(bad,), error=text
    )
    write(where, report, registry="reg.example", repository="a/b")
    assert told(where, DIGEST).images == report.images
    [row] = rows(where, PACKAGES)
    assert row["name"] == text.replace("\0", "\ufffd")
    with transaction(where) as connection:
        page = findings(connection, FindingFilter(digest=DIGEST), after="", limit=10)
    assert [item.finding for item in page.items] == [bad]


def test_a_text_that_is_no_unicode(where):
    """No parser makes one; should one come, it is an error like any other, and the lease goes on."""
    enqueue(where, wish(1))
    queue = open_queue(where)
    lease = queue.lease("w")
    bad = msgspec.structs.replace(report_of(lease.scan.digest).images[0], error="a\ud800b")
    with pytest.raises(StoreError):
        queue.finish(lease, report_of(lease.scan.digest, images=(bad,)))
    assert queue.heartbeat(lease) is LeaseState.HELD
    assert images(where) == {}
    queue.close()


# What is known is not replaced by less


def state_after(where, *reports):
    for report in reports:
        write(where, report)
    return {digest: row["state"] for digest, row in images(where).items()}


def of_state(state, fingerprint="f1", **changes):
    report = msgspec.structs.replace(report_of(DIGEST), fingerprint=fingerprint)
    return with_image(report, state=state, **changes)


COMPLETE, PARTIAL, FAILED = ScanState


@pytest.mark.parametrize(
    ("first", "then", "stays"),
    [
        pytest.param(of_state(COMPLETE), of_state(FAILED), "complete", id="failed_after_complete"),
        pytest.param(of_state(COMPLETE), of_state(FAILED, "f2"), "complete", id="failed_with_newer_rules"),
        pytest.param(of_state(COMPLETE), of_state(PARTIAL), "complete", id="partial_with_the_same_rules"),
        pytest.param(of_state(COMPLETE), of_state(PARTIAL, "f2"), "partial", id="partial_with_newer_rules"),
        pytest.param(of_state(FAILED), of_state(PARTIAL), "partial", id="partial_after_failed"),
        pytest.param(of_state(PARTIAL), of_state(COMPLETE), "complete", id="complete_after_partial"),
        pytest.param(of_state(FAILED), of_state(FAILED, "f2"), "failed", id="failed_again"),
    ],
)  # fmt: skip
def test_less_does_not_replace_more(where, first, then, stays):
    assert state_after(where, first, then) == {DIGEST: stays}


def test_an_index_takes_what_is_known_of_its_images(where):
    children = ["sha256:" + letter * 64 for letter in "ab"]
    complete = [
        msgspec.structs.replace(report_of(d).images[0], digest=d, state=COMPLETE) for d in children
    ]
    whole = msgspec.structs.replace(
        sample_report(), images=tuple(complete), state=COMPLETE, skipped=()
    )
    write(where, whole)
    broken = tuple(
        msgspec.structs.replace(image, state=FAILED, error="503", packages=(), findings=())
        for image in complete
    )
    write(where, msgspec.structs.replace(whole, images=broken, state=FAILED))
    known = images(where)
    assert {row["state"] for row in known.values()} == {"complete"}
    assert known[whole.digest]["packages_count"] == 4
    assert told(where, whole.digest).images == whole.images


def test_an_index_is_not_complete_if_some_platforms_only_were_asked_for(where):
    image = msgspec.structs.replace(report_of(DIGEST).images[0], state=COMPLETE)
    some = msgspec.structs.replace(sample_report(), images=(image,), state=COMPLETE, skipped=())
    write(where, some, is_whole=False)
    assert images(where)[some.digest]["state"] == "partial"
    write(where, some, is_whole=True)
    write(where, some, is_whole=False)
    assert images(where)[some.digest]["state"] == "complete"


# Reports that the scan itself has stored


def test_a_stored_report_is_not_stored_twice(where):
    report = today(report_of(DIGEST))
    store = open_store(where)
    store.save_image(report.images[0], report.fingerprint, "r")
    write(where, report)
    assert [r["fingerprint"] for r in rows(where, IMAGE_REPORTS)] == [report.fingerprint]
    assert told(where, DIGEST).images == report.images
    store.close()


def test_a_scan_answered_from_the_store_writes_no_contents(where):
    report = today(report_of(DIGEST))
    store = open_store(where)
    store.save_image(report.images[0], report.fingerprint, "r")
    write(where, report)
    with transaction(where) as connection:
        connection.execute(FINDINGS.delete())
    write(where, report, registry="reg.example", repository="c/d")
    assert rows(where, FINDINGS) == []
    assert [r["repository"] for r in rows(where, IMAGE_LOCATIONS)] == ["c/d"]
    write(where, msgspec.structs.replace(report, fingerprint="f2"))
    assert rows(where, FINDINGS) != []
    store.close()


def test_a_report_with_an_unread_layer_is_kept_beside_the_stored_one(where):
    report = today(report_of(DIGEST))
    store = open_store(where)
    store.save_image(report.images[0], report.fingerprint, "r")
    unread = with_image(report, layers=(LayerSummary(digest="sha256:a", index=0, error="503"),))
    write(where, unread)
    assert len(rows(where, IMAGE_REPORTS)) == 2
    assert told(where, DIGEST).images == unread.images
    assert store.load_image(DIGEST, report.fingerprint) == report.images[0]
    store.close()


# By the queue, and by a scan that nobody queued


def tags(where):
    return [(row["tag"], row["digest"], row["replaced_at"] is None) for row in rows(where, TAGS)]


def finish_scan_of_tag(where, digest):
    enqueue(where, wish(tag="v1", force=True))
    queue = open_queue(where)
    assert queue.finish(queue.lease("w"), report_of(digest))
    queue.close()


def test_a_tag_that_the_scan_resolved(where):
    finish_scan_of_tag(where, DIGEST)
    finish_scan_of_tag(where, DIGEST)
    other = "sha256:" + "8" * 64
    finish_scan_of_tag(where, other)
    assert tags(where) == [("v1", DIGEST, False), ("v1", other, True)]


def test_a_tag_that_came_with_a_digest_is_not_believed(where):
    enqueue(where, msgspec.structs.replace(wish(1), tag="v1"))
    queue = open_queue(where)
    lease = queue.lease("w")
    assert queue.finish(lease, report_of(lease.scan.digest))
    queue.close()
    assert tags(where) == []


def test_a_tag_that_was_asked_for_later_is_asked_for_again(where):
    from scanner.store._tables import TAG_CHECKS
    from scanner.store._tags import record_tag

    enqueue(where, wish(tag="v1"))
    queue = open_queue(where)
    lease = queue.lease("w")
    change(where, lease.scan.id, started_at=now_ms() - 1_000)
    with transaction(where) as connection:
        record_tag(connection, "reg.example", "a/b", "v1", "sha256:" + "8" * 64)
    assert queue.finish(lease, report_of(DIGEST))
    queue.close()
    assert tags(where) == [("v1", "sha256:" + "8" * 64, True)]
    assert [row["tag"] for row in rows(where, TAG_CHECKS)] == ["v1"]


@pytest.mark.parametrize(
    ("reference", "is_stored", "places", "tags_count"),
    [
        pytest.param("reg.example/a/b:v1", True, ["a/b"], 1, id="tag"),
        pytest.param(f"reg.example/a/b@{DIGEST}", True, ["a/b"], 0, id="digest"),
        pytest.param("oci:some/where", True, [], 0, id="layout"),
        pytest.param("docker-archive:x.tar", False, [], 0, id="saved"),
        pytest.param("dir:/", False, [], 0, id="file_system"),
        pytest.param("no reference", True, [], 0, id="unknown"),
    ],
)
def test_a_scan_that_nobody_queued(where, reference, is_stored, places, tags_count):
    store = open_store(where)
    report = today(report_of(DIGEST, reference=reference))
    assert store.record_scan(report) is is_stored
    store.close()
    assert list(images(where)) == ([DIGEST] if is_stored else [])
    assert [row["repository"] for row in rows(where, IMAGE_LOCATIONS)] == places
    assert len(tags(where)) == tags_count


def test_a_report_without_images(where):
    report = msgspec.structs.replace(sample_report(), images=(), state=FAILED)
    write(where, report)
    assert images(where)[report.digest]["state"] == "failed"


def test_deleting_an_image_deletes_what_is_of_it(where):
    write(where, sample_report(), registry="reg.example", repository="a/b")
    with transaction(where) as connection:
        connection.execute(IMAGES.delete())
    for table in (FINDINGS, IMAGE_PACKAGES, IMAGE_LAYERS, IMAGE_LOCATIONS, INDEX_CHILDREN):
        assert rows(where, table) == []
