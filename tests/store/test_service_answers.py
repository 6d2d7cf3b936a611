from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import update
from support.sample_report import HOSTILE, sample_report
from support.service_store import (
    digest,
    request,
    scan,
    with_store,
)

from scanner.errors import InvalidReferenceError, StoreError
from scanner.model import ScanState, Severity
from scanner.ports import (
    FindingFilter,
    PackageRecord,
    PackageUse,
)
from scanner.store._tables import IMAGE_REPORTS

REPORT = sample_report()
MAIN, CLEAN, FAILED = REPORT.images


def test_an_index(where):
    scan(where, REPORT)

    async def ask(store):
        return (
            await store.image(REPORT.digest),
            await store.index_children(REPORT.digest),
            await store.report(REPORT.digest),
            await store.layers(REPORT.digest),
        )

    summary, children, report, layers = with_store(where, ask)
    assert (summary.digest, summary.kind, summary.state) == (REPORT.digest, "index", ScanState.FAILED)  # fmt: skip
    assert summary.severities == {
        s: sum(f.severity is s for i in REPORT.images for f in i.findings) for s in Severity
    }
    assert summary.packages_count == 2
    assert summary.fingerprint == REPORT.fingerprint
    assert children == (MAIN.digest, CLEAN.digest, FAILED.digest)
    reference = f"registry.example/team/app@{REPORT.digest}"
    assert report == msgspec.structs.replace(REPORT, reference=reference)
    assert layers == ()


def test_an_image_of_an_index(where):
    scan(where, REPORT)

    async def ask(store):
        return (
            await store.image(MAIN.digest),
            await store.index_children(MAIN.digest),
            await store.report(MAIN.digest),
            await store.layers(MAIN.digest),
            await store.scan_of(MAIN.digest),
        )

    summary, children, report, layers, own_scan = with_store(where, ask)
    assert (summary.kind, summary.platform, summary.state) == ("image", "linux/amd64", ScanState.PARTIAL)  # fmt: skip
    assert summary.config_digest == MAIN.image_id
    assert summary.coverage["issues_count"] == len(MAIN.coverage.issues)
    assert "issues" not in summary.coverage
    assert summary.reference == f"registry.example/team/app@{MAIN.digest}"
    assert datetime.now(UTC) - summary.scanned_at < timedelta(minutes=1)
    assert children == ()
    assert (report.images, report.digest, report.state) == ((MAIN,), MAIN.digest, MAIN.state)
    assert layers == MAIN.layers
    assert own_scan is None


def test_images_at_once(where):
    scan(where, REPORT)

    async def ask(store):
        wanted = [CLEAN.digest, digest(99), REPORT.digest, CLEAN.digest, "\0", ""]
        many = [*wanted, *(digest(1_000 + n) for n in range(1_100))]
        found = await store.images(many)
        return (
            found,
            [await store.image(d) for d in (CLEAN.digest, REPORT.digest)],
            await store.images([]),
        )

    found, alone, none = with_store(where, ask)
    assert list(found.values()) == alone
    assert list(found) == [CLEAN.digest, REPORT.digest]
    assert none == {}


def test_a_digest_never_scanned(where):
    async def ask(store):
        return (
            await store.image(digest(1)),
            await store.index_children(digest(1)),
            await store.report(digest(1)),
            await store.layers(digest(1)),
            (await store.packages(digest(1))).items,
            (await store.findings(FindingFilter(digest=digest(1)))).items,
            await store.scan_of(""),
        )

    assert with_store(where, ask) == (None, (), None, (), (), (), None)


def test_a_damaged_report_is_an_error_never_a_shorter_one(where):
    scan(where, REPORT)

    async def ask(store):
        await store._database.write(_spoil)
        for one in (REPORT.digest, CLEAN.digest):
            with pytest.raises(StoreError, match="damaged") as caught:
                await store.report(one)
            assert "scanned again" in caught.value.hint
        return await store.image(CLEAN.digest)

    assert with_store(where, ask).state is ScanState.COMPLETE


def _spoil(connection):
    damaged = update(IMAGE_REPORTS).where(IMAGE_REPORTS.c.digest == CLEAN.digest)
    connection.execute(damaged.values(report=b"no report"))


def test_packages_page_by_page(where):
    scan(where, REPORT)
    expected = [
        PackageRecord(
            purl=p.purl, purl_type=p.purl_type, namespace=p.namespace, name=p.name,
            version=p.version, path=p.path, layer_index=p.layer_index, declared=p.declared,
        )
        for p in MAIN.packages
    ]  # fmt: skip

    async def ask(store):
        first = await store.packages(REPORT.digest, limit=1)
        second = await store.packages(REPORT.digest, after=first.next, limit=1)
        return first, second, await store.packages(MAIN.digest), await store.packages(CLEAN.digest)

    first, second, whole, none = with_store(where, ask)
    assert [*first.items, *second.items] == expected
    assert (second.next, whole.next) == ("", "")
    assert list(whole.items) == expected
    assert none.items == ()


def _every(_finding):
    return True


def _none(_finding):
    return False


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        pytest.param({"digest": MAIN.digest}, _every, id="all"),
        pytest.param({"digest": REPORT.digest}, _every, id="of_an_index"),
        pytest.param({"digest": CLEAN.digest}, _none, id="of_another_image"),
        pytest.param(
            {"rule_id": "secret/private-key"},
            lambda f: f.rule_id == "secret/private-key",
            id="rule_in_any_image",
        ),
        pytest.param(
            {"digest": MAIN.digest, "severities": (Severity.HIGH, Severity.INFO)},
            lambda f: f.severity in {Severity.HIGH, Severity.INFO},
            id="severities",
        ),
        pytest.param(
            {"digest": MAIN.digest, "kinds": ("secret",)}, lambda f: f.kind == "secret", id="kinds"
        ),
        pytest.param(
            {"digest": MAIN.digest, "path_prefix": "srv/"},
            lambda f: f.path.startswith("srv/"),
            id="path_prefix",
        ),
        pytest.param(
            {"digest": MAIN.digest, "path_prefix": f"srv/{HOSTILE}"},
            lambda f: f.path == f"srv/{HOSTILE}",
            id="hostile_prefix",
        ),
        pytest.param({"digest": MAIN.digest, "path_prefix": "%"}, _none, id="no_wildcards"),
        pytest.param({"digest": MAIN.digest, "package": "pkg:x/y"}, _none, id="package"),
        pytest.param({"rule_id": "no-such-rule"}, _none, id="unknown_rule"),
    ],
)
def test_findings_page_by_page(where, wanted, is_wanted):
    scan(where, REPORT)

    async def ask(store):
        found, after = [], ""
        while True:
            page = await store.findings(FindingFilter(**wanted), after=after, limit=4)
            found += page.items
            after = page.next
            if not after:
                return found

    found = with_store(where, ask)
    assert [r.finding for r in found] == [f for f in MAIN.findings if is_wanted(f)]
    assert {r.digest for r in found} <= {MAIN.digest}


def test_findings_of_nothing_in_particular_are_refused(where):
    async def ask(store):
        with pytest.raises(InvalidReferenceError):
            await store.findings(FindingFilter(severities=(Severity.HIGH,)))

    with_store(where, ask)


def _holding(number, *packages):
    """Return a report of an image with only these packages, each (version, path)."""
    image = msgspec.structs.replace(
        MAIN,
        digest=digest(number),
        findings=(),
        packages=tuple(
            msgspec.structs.replace(MAIN.packages[1], version=version, path=path)
            for version, path in packages
        ),
    )
    return msgspec.structs.replace(REPORT, digest=image.digest, images=(image,), skipped=())


def test_images_that_hold_a_package(where):
    held = {
        1: [("2.0", "a"), ("2.0", "b"), ("1.10", "c")],
        2: [("2.0", "a")],
        3: [("1.9", "a"), ("3.0", "x")],
    }
    for number, packages in held.items():
        scan(where, _holding(number, *packages))
    name = ("pypi", "", "flask")

    async def ask(store):
        pages = [await store.images_with_package(*name, limit=2)]
        while pages[-1].next:
            pages.append(await store.images_with_package(*name, limit=2, after=pages[-1].next))
        some = await store.images_with_package(*name, versions={"1.9", "2.0", "0"})
        none = await store.images_with_package(*name, versions=())
        other = await store.images_with_package("npm", "", "flask")
        return pages, some, none, other, await store.package_versions(*name)

    pages, some, none, other, versions = with_store(where, ask)
    uses = {
        PackageUse(digest=digest(n), purl=f"pkg:pypi/flask@{version}", version=version, path=path)
        for n, packages in held.items()
        for version, path in packages
    }
    found = [use for page in pages for use in page.items]
    assert [len(page.items) for page in pages] == [2, 2, 2]
    assert (len(found), set(found)) == (6, uses)
    assert set(some.items) == {use for use in uses if use.version in {"1.9", "2.0"}}
    assert (none.items, other.items) == ((), ())
    assert versions == ["1.10", "1.9", "2.0", "3.0"]


def test_versions_that_no_image_holds_any_more(where):
    scan(where, _holding(1, ("1.0", "a")))
    changed = msgspec.structs.replace(_holding(1, ("2.0", "a")), fingerprint="newer")
    scan(where, changed, request(digest=digest(1), force=True))
    assert with_store(where, lambda s: s.package_versions("pypi", "", "flask")) == ["2.0"]


CURSORS = [
    "x", "%", "é", "\0", "\ud800", "=" * 8, "a" * 300, "bnVsbA", "W10", "WyJzY2FucyJd",
    "WyJzY2FucyIsICIwMDAiXQ", "WyJmaW5kaW5ncyIsLTEsMF0", "WyJmaW5kaW5ncyIsMSw5OTk5OTk5OTk5OTld",
]  # fmt: skip


def test_bad_cursors(where):
    async def ask(store):
        await store.enqueue_many([request(n) for n in range(3)], "f")
        foreign = (await store.scans(limit=1)).next
        for after in [*CURSORS, foreign]:
            for listing in (
                store.packages(digest(1), after=after),
                store.findings(FindingFilter(digest=digest(1)), after=after),
                store.images_with_package("deb", "debian", "bash", after=after),
                store.tag_history("registry.example", "team/app", "v1", after=after),
                store.deliveries(after=after),
                store.scans(after=after if after != foreign else after[:-2]),
            ):
                with pytest.raises(InvalidReferenceError):
                    await listing

    with_store(where, ask)


def test_pages_have_bounds(where):
    async def ask(store):
        await store.enqueue_many([request(n) for n in range(3)], "f")
        return [len((await store.scans(limit=n)).items) for n in (-5, 0, 1, 10**9)]

    assert with_store(where, ask) == [1, 1, 1, 3]
