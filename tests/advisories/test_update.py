"""Whatever goes wrong with an update: the old data stays, and the status says why."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.faulty_registry import Reply, redirect, start_faulty_registry
from support.feed_files import FeedServer, osv_zip, record, zipped

from scanner import discovery
from scanner.advisories.database import AdvisoryDatabases, unit_path
from scanner.advisories.local_source import DirectoryFeedSource, SingleFileSource
from scanner.advisories.update import Outcome, UpdateOptions, hold, update_unit
from scanner.advisories.update_state import (
    load_state,
    mark_wanted,
    save_state,
    state_path,
    status_of,
    wanted_units,
)
from scanner.errors import (
    ForbiddenHostError,
    InputError,
    LimitExceededError,
    MalformedFileError,
    NotFoundError,
    ScannerError,
    SettingsError,
    StoreError,
    UpstreamError,
)
from scanner.ports import Limits, SourceOptions
from scanner.sources._feed_http import FetchBounds, HttpFeedSource
from scanner.sources._registry_errors import Backoff

PATH = "/npm/all.zip"
DAY = timedelta(days=1)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
OLD = osv_zip(200)


@pytest.fixture
def server():
    with start_faulty_registry() as registry:
        feed = FeedServer(registry)
        feed.files[PATH] = OLD
        yield feed


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "advisories"


def source(server, *, tries=0, hosts=(), **bounds):
    options = SourceOptions(
        limits=Limits(),
        spool_dir=Path(),
        insecure_hosts=frozenset({server.server.host}),
        retries_count=tries,
        idle_seconds=0.5,
    )
    allowed = FetchBounds(**({"file_bytes": 10_000_000, "seconds": 20} | bounds))
    return HttpFeedSource(
        server.server.url,
        options,
        allowed,
        allowed_hosts=frozenset(hosts),
        backoff=Backoff(base_seconds=0.001, cap_seconds=0.001),
    )


def update(directory, from_, *, at=T0, unit="npm", feed="osv", **options):
    chosen = UpdateOptions(directory=directory, clock=lambda: at, **options)
    try:
        return update_unit(unit, discovery.feeds()[feed], from_, chosen)
    finally:
        from_.close()


def status(directory, at=T0, unit="npm"):
    return status_of(directory, unit, at, DAY)


def packages(directory):
    with AdvisoryDatabases(directory) as databases:
        unit = databases.units.get("npm")
        return unit.about.packages_count if unit else 0


def test_the_first_update(server, directory):
    done = update(directory, source(server))
    assert (done.outcome, done.about.records_count) == (Outcome.UPDATED, 200)
    found = status(directory, T0 + timedelta(hours=1))
    assert (found.problem, found.is_due, found.age_seconds) == ("", False, 3_600.0)
    assert found.about.source == server.server.url
    assert found.size_bytes > 1000
    assert sorted(p.name for p in directory.iterdir()) == ["npm.advisories", "npm.lock", "npm.state"]  # fmt: skip


def test_what_has_not_changed_is_not_fetched_again(server, directory):
    update(directory, source(server))
    before = unit_path(directory, "npm").stat().st_ino
    assert update(directory, source(server), at=T0 + DAY).outcome is Outcome.UNCHANGED
    assert server.server.seen[-1].headers["If-None-Match"]
    assert unit_path(directory, "npm").stat().st_ino == before
    assert status(directory, T0 + DAY).age_seconds == 0
    server.files[PATH] = osv_zip(210)
    assert update(directory, source(server), at=T0 + 2 * DAY).outcome is Outcome.UPDATED
    assert packages(directory) == 210


def test_what_is_young_is_left_alone(server, directory):
    update(directory, source(server))
    count = len(server.server.seen)
    done = update(directory, source(server), at=T0 + timedelta(hours=23), max_age=DAY)
    assert (done.outcome, len(server.server.seen)) == (Outcome.FRESH, count)
    done = update(directory, source(server), at=T0 + timedelta(hours=25), max_age=DAY)
    assert done.outcome is Outcome.UNCHANGED


def test_another_source_is_asked_without_conditions(server, directory, tmp_path):
    update(directory, source(server))
    file = tmp_path / "npm.jsonl"
    file.write_bytes(b"\n".join(record(f"GHSA-aaaa-bbbb-{n:04}", f"p{n}") for n in range(300)))
    assert update(directory, SingleFileSource(file), at=T0 + DAY).outcome is Outcome.UPDATED
    assert update(directory, SingleFileSource(file), at=T0 + DAY).outcome is Outcome.UNCHANGED
    assert packages(directory) == 300


# What servers do wrong

BIG = Reply(200, b"x" * 65_536, {}, length=10_000_000_000)
FAULTS = {
    "truncated_zip": (Reply(200, OLD[:-500]), MalformedFileError, "cut off"),
    "cut_connection": (Reply(200, OLD, cut_after=5_000), UpstreamError, "cut"),
    "stalls": (Reply(200, OLD, cut_after=5_000, stalls=True), UpstreamError, "timed out"),
    "hangs_up": (Reply(hangs_up=True), UpstreamError, "cut"),
    "forged_zip": (Reply(200, OLD.replace(b"PK\x01\x02", b"PK\x01\x03")), MalformedFileError, "broken"),
    "forged_content": (Reply(200, OLD[:3_000] + bytes(40) + OLD[3_040:]), InputError, None),
    "empty_zip": (Reply(200, zipped({})), MalformedFileError, "not a single record"),
    "no_bytes": (Reply(200, b""), MalformedFileError, None),
    "wrong_json": (Reply(200, zipped({"a.json": b'{"id": 7}'})), MalformedFileError, "cannot be read"),
    "one_wrong_of_hundred": (Reply(200, zipped({f"{n}.json": record(f"X-{n:04}") if n else b"[" for n in range(99)})), MalformedFileError, "1 records cannot be read"),
    "html": (Reply(200, b"<!DOCTYPE html><title>Log in</title>"), MalformedFileError, "cannot be read"),
    "huge_advisory": (Reply(200, zipped({"a.json": bytes(40_000_000)})), MalformedFileError, "larger than"),
    "announced_10_gb": (BIG, LimitExceededError, "advisories.file_bytes"),
    "endless": (Reply(200, b"x" * 65_536, {}, endless=True), LimitExceededError, "advisories.file_bytes"),
    "not_found": (Reply(404), NotFoundError, "404"),
    "server_error": (Reply(503), UpstreamError, "503"),
    "login": (Reply(401), UpstreamError, "401"),
    "shrunk": (Reply(200, osv_zip(90)), MalformedFileError, "only 90 of 200"),
    "unchanged_though_not_asked": (Reply(304), UpstreamError, "304"),
    "not_asked_range": (Reply(206, OLD, {"Content-Range": "bytes 500-900/1000"}), UpstreamError, None),
    "to_another_host": (redirect("http://127.0.0.2:1/npm/all.zip"), ForbiddenHostError, "redirects to"),
    "to_a_file": (redirect("file:///etc/passwd"), ForbiddenHostError, None),
    "in_a_circle": (lambda _seen: redirect(PATH), UpstreamError, "redirects"),
    "bad_gzip": (Reply(200, b"\x1f\x8b" + bytes(50)), MalformedFileError, "broken"),
    "cut_zstd": (Reply(200, b"\x28\xb5\x2f\xfd\x04\x00"), MalformedFileError, "cut off"),
    "xz_of_much_memory": (Reply(200, bytes.fromhex("fd377a585a000004e6d6b4460200210128000000")), MalformedFileError, None),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "kind", "reason"), FAULTS.values(), ids=FAULTS)
def test_the_old_data_stays_and_the_status_says_why(server, directory, reply, kind, reason):
    update(directory, source(server))
    if kind is UpstreamError and reason == "304":  # only where nothing of the kind was asked for
        (directory / "npm.advisories").rename(directory / "aside")
    stamp = unit_path(directory, "npm").stat().st_ino if packages(directory) else 0
    server.server.script(PATH, *[reply] * 9)
    with pytest.raises(kind, match=reason):
        update(directory, source(server), at=T0 + DAY)
    if not stamp:
        (directory / "aside").rename(directory / "npm.advisories")
    else:
        assert unit_path(directory, "npm").stat().st_ino == stamp
    assert packages(directory) == 200
    found = status(directory, T0 + DAY)
    assert found.about.records_count == 200
    assert "2026-01-02T00:00:00Z failed" in found.problem
    assert (reason or "") in found.problem
    assert not [p for p in directory.iterdir() if "building" in p.name]
    # and the next one makes it good
    server.server._scripts.clear()
    server.files[PATH] = osv_zip(205)
    assert update(directory, source(server), at=T0 + 2 * DAY).outcome is Outcome.UPDATED
    assert status(directory, T0 + 2 * DAY).problem == ""


def test_a_first_update_that_fails_leaves_no_database(server, directory):
    server.files[PATH] = zipped({})
    with pytest.raises(MalformedFileError):
        update(directory, source(server))
    found = status(directory)
    assert (found.about, found.is_due) == (None, True)
    assert found.problem.startswith("no data; the update at 2026-01-01T00:00:00Z failed")
    with AdvisoryDatabases(directory) as databases:
        assert list(databases.ecosystems()) == []


def test_shrinking_can_be_allowed(server, directory):
    update(directory, source(server))
    server.files[PATH] = osv_zip(10)
    assert update(directory, source(server), may_shrink=True).about.records_count == 10


def test_a_drip_is_ended_by_time(server, directory):
    server.server.script(PATH, Reply(200, OLD, cut_after=5_000, stalls=True))
    with pytest.raises((LimitExceededError, UpstreamError)):
        update(directory, source(server, seconds=0.01))


# Resuming


def test_a_cut_file_is_continued(server, directory):
    etag = {"ETag": f'"{__import__("hashlib").sha256(OLD).hexdigest()[:16]}"'}
    server.server.script(PATH, Reply(200, OLD, etag, cut_after=7_000))
    assert update(directory, source(server, tries=1)).about.records_count == 200
    ranges = [seen.headers.get("Range") for seen in server.server.seen]
    assert ranges[0] is None
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 7_000


def test_it_is_continued_by_the_next_process_too(server, directory):
    etag = {"ETag": f'"{__import__("hashlib").sha256(OLD).hexdigest()[:16]}"'}
    server.server.script(PATH, Reply(200, OLD, etag, cut_after=7_000))
    with pytest.raises(UpstreamError):
        update(directory, source(server))
    assert update(directory, source(server)).outcome is Outcome.UPDATED
    assert server.server.seen[-1].headers.get("Range")


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}], ids=["no_mark", "weak_mark"])
def test_what_cannot_be_told_apart_is_fetched_anew(server, directory, headers):
    server.server.script(PATH, Reply(200, OLD, headers, cut_after=7_000))
    assert update(directory, source(server, tries=1)).about.records_count == 200
    assert [seen.headers.get("Range") for seen in server.server.seen] == [None, None]


def test_a_new_edition_is_not_appended_to_the_old(server, directory):
    new = osv_zip(300)
    etag = {"ETag": '"old"'}
    rest = {"Content-Range": f"bytes 7000-{len(new) - 1}/{len(new)}", "ETag": '"new"'}
    server.server.script(
        PATH, Reply(200, OLD, etag, cut_after=7_000), Reply(206, new[7_000:], rest)
    )
    server.files[PATH] = new
    assert update(directory, source(server, tries=2)).about.records_count == 300


def test_a_file_that_was_fetched_whole_but_not_built_is_not_fetched_again(server, directory):
    directory.mkdir()
    with closing(source(server)) as one:
        fetched = one.fetch("npm/all.zip", directory / "npm.download0", None)
    assert fetched.path.read_bytes() == OLD
    count = len(server.server.seen)
    assert update(directory, source(server)).outcome is Outcome.UPDATED
    assert [seen.headers.get("Range") for seen in server.server.seen[count:]] == [f"bytes={len(OLD)}-"]  # fmt: skip


# Redirects and addresses


def test_redirects_lead_to_allowed_hosts_only(server, directory):
    with start_faulty_registry() as other:
        mirror = FeedServer(other)
        mirror.files[PATH] = OLD
        server.server.script(PATH, redirect(f"{other.url}{PATH}"), redirect(f"{other.url}{PATH}"))
        with pytest.raises(ForbiddenHostError) as caught:
            update(directory, source(server))
        assert caught.value.hint.endswith("add " + other.host + " to advisories.hosts")
        assert update(directory, source(server, hosts=[other.host])).outcome is Outcome.UPDATED
        assert {seen.headers.get("Authorization") for seen in other.seen} == {None}


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "https://", "https://user:secret@a/b", "https://a/b?x=1", "http://a.example/b", "https://a:x/"],
)  # fmt: skip
def test_addresses_that_are_refused(url):
    with pytest.raises(SettingsError) as caught:
        HttpFeedSource(url, SourceOptions(limits=Limits(), spool_dir=Path()), FetchBounds(file_bytes=1, seconds=1))  # fmt: skip
    assert "secret" not in str(caught.value)


def test_offline_nothing_is_fetched():
    options = SourceOptions(limits=Limits(), spool_dir=Path(), offline=True)
    with pytest.raises(UpstreamError, match="offline"):
        HttpFeedSource("https://a.example", options, FetchBounds(file_bytes=1, seconds=1))


def test_a_pointer_names_a_file(server, directory):
    server.files["/archive_latest.txt"] = b"vex-2026-01-01.tar.zst\n"
    with closing(source(server)) as one:
        assert one.read_pointer("archive_latest.txt") == "vex-2026-01-01.tar.zst"
        for bad in (b"../../etc/passwd", b"", b"a b", b"x" * 2_000, b"https://a/b"):
            server.files["/archive_latest.txt"] = bad
            with pytest.raises(MalformedFileError):
                one.read_pointer("archive_latest.txt")


# This machine


def test_directories_stand_in_for_publishers(directory, tmp_path):
    mirror = tmp_path / "mirror"
    (mirror / "npm").mkdir(parents=True)
    (mirror / "npm/all.zip").write_bytes(OLD)
    assert update(directory, DirectoryFeedSource(mirror, "osv")).about.records_count == 200
    assert update(directory, DirectoryFeedSource(mirror, "osv")).outcome is Outcome.UNCHANGED
    with pytest.raises(NotFoundError):
        update(directory, DirectoryFeedSource(mirror, "osv"), unit="PyPI")
    (mirror / "epss").mkdir()
    (mirror / "epss/epss_scores-current.csv.gz").write_bytes(b"cve,epss,percentile\nCVE-1-1,0.5,0.5\n")  # fmt: skip
    assert update(directory, DirectoryFeedSource(mirror, "epss"), unit="epss", feed="epss").outcome is Outcome.UPDATED  # fmt: skip


def test_a_changed_part_brings_the_whole(directory, tmp_path):
    branch = tmp_path / "v3.20"
    branch.mkdir()
    for name in ("main", "community"):
        text = f'{{"packages": [{{"pkg": {{"name": "{name}", "secfixes": {{"1-r0": ["CVE-1-1"]}}}}}}]}}'  # fmt: skip
        (branch / f"{name}.json").write_text(text)
    args = {"unit": "Alpine:v3.20", "feed": "alpine-secdb"}
    assert update(directory, DirectoryFeedSource(tmp_path, "x"), **args).about.packages_count == 2
    (branch / "main.json").write_text(text.replace("community", "other-name"))
    assert update(directory, DirectoryFeedSource(tmp_path, "x"), **args).about.packages_count == 2
    with AdvisoryDatabases(directory) as databases:
        assert databases.advisories_of("Alpine:v3.20", "community")
        assert databases.advisories_of("Alpine:v3.20", "other-name")
    (branch / "community.json").unlink()
    with pytest.raises(NotFoundError):
        update(directory, DirectoryFeedSource(tmp_path, "x"), **args)


# Clocks


def test_a_clock_that_was_set_back(server, directory):
    update(directory, source(server), at=T0 + 300 * DAY)
    found = status(directory, T0)
    assert (found.is_due, found.age_seconds < 0) == (True, True)
    assert "clock" in found.problem
    assert update(directory, source(server), at=T0, max_age=DAY).outcome is Outcome.UNCHANGED
    server.files[PATH] = osv_zip(201)
    assert update(directory, source(server), at=T0, max_age=DAY).outcome is Outcome.UPDATED
    assert (status(directory, T0).problem, status(directory, T0).is_due) == ("", False)


# Two at once, and killed ones


def start(directory, file, slow=0.0, wait=0.0):
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, root / "tests/support/advisory_updates.py", directory, file, str(slow), str(wait)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


def await_begun(file):
    begun = Path(f"{file}.begun")
    deadline = time.monotonic() + 30
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def outcome(process):
    with process:
        return process.communicate(timeout=60)[0].strip()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "all.zip"
    path.write_bytes(OLD)
    return path


def test_two_at_once_one_works_the_other_waits_or_says_so(directory, file):
    first = start(directory, file, slow=1.5)
    await_begun(file)
    assert status(directory, datetime.now(UTC)).problem.startswith("no data; an update is running since")  # fmt: skip
    with hold(directory, "npm", 0) as is_held:
        assert not is_held
    assert update_unit("npm", discovery.feeds()["osv"], SingleFileSource(file), UpdateOptions(directory=directory)).outcome is Outcome.BUSY  # fmt: skip
    waiting = start(directory, file, wait=60)
    assert outcome(first) == "updated"
    assert outcome(waiting) in ("unchanged", "fresh")


def test_a_killed_update_holds_nobody_and_is_told(directory, file):
    process = start(directory, file, slow=60)
    await_begun(file)
    process.send_signal(signal.SIGKILL)
    outcome(process)
    assert "was interrupted" in status(directory, datetime.now(UTC)).problem
    assert update(directory, SingleFileSource(file)).outcome is Outcome.UPDATED
    assert status(directory).problem == ""


def test_killed_at_any_moment_the_old_data_stays(directory, file, tmp_path):
    update(directory, SingleFileSource(file))
    larger = tmp_path / "larger.zip"
    larger.write_bytes(osv_zip(4_000))
    for round_ in range(6):
        process = start(directory, larger)
        await_begun(larger)
        time.sleep(0.04 * round_)
        process.send_signal(signal.SIGKILL)
        outcome(process)
        Path(f"{larger}.begun").unlink()
        assert packages(directory) in (200, 4_000)
    update(directory, SingleFileSource(larger))
    assert packages(directory) == 4_000
    assert sorted(p.name for p in directory.iterdir()) == ["npm.advisories", "npm.lock", "npm.state"]  # fmt: skip


# The disk


def test_a_full_disk(server, directory):
    """A bound on the size of files stands in for it: writes fail in the same places."""
    update(directory, source(server))
    server.files[PATH] = osv_zip(3_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for most_bytes in (20_000, 600_000):  # the download; the database
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
            with pytest.raises(StoreError):
                update(directory, source(server), at=T0 + DAY)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert packages(directory) == 200
            assert "failed" in status(directory, T0 + DAY).problem
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert update(directory, source(server), at=T0 + DAY).about.records_count == 3_000


def test_a_directory_that_cannot_be_made(tmp_path, file):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        update(tmp_path / "file", SingleFileSource(file))


def test_states_that_cannot_be_read_only_make_an_update_due(directory, file):
    update(directory, SingleFileSource(file))
    for content in (b"", b"nonsense", b"[" * 100_000, b'{"checked_at": 7}'):
        state_path(directory, "npm").write_bytes(content)
        assert status(directory).problem == ""
        assert load_state(directory, "npm").checked_at == ""
    assert update(directory, SingleFileSource(file)).outcome is Outcome.UNCHANGED


# What scans meet


def test_what_scans_meet_without_data_is_remembered(directory):
    for unit in ("Debian", "Alpine:v3.20", "Debian"):
        mark_wanted(directory, unit)
    assert wanted_units(directory) == ["Alpine:v3.20", "Debian"]
    found = status(directory, unit="Debian")
    assert (found.is_wanted, found.problem, found.is_due) == (True, "no data", True)


def test_unexpected_errors_are_remembered_without_their_text(directory, file):
    class Broken(SingleFileSource):
        def fetch(self, path, target, mark):
            raise KeyError("secret")

    with pytest.raises(KeyError):
        update(directory, Broken(file))
    assert load_state(directory, "npm").error == "KeyError"
    save_state(directory, "npm", load_state(directory, "npm"))
    assert isinstance(ScannerError("x"), Exception)
