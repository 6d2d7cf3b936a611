"""What is built can be asked, whoever writes beside it; what is broken says so, and is never an empty answer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from scanner.advisories import database_build
from scanner.advisories._osv_file import parse_osv_file
from scanner.advisories.database import (
    About,
    AdvisoryDatabases,
    UnitDatabase,
    changed_packages,
    unit_of,
    unit_path,
)
from scanner.advisories.database_build import build_database
from scanner.errors import LimitExceededError, MalformedFileError, StoreError
from scanner.model.advisory import Advisory, Affected, AffectedRange, Enrichment, Event, EventKind
from scanner.ports.feed import Enriched, FeedFile, RefusedRecord

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/advisories"
ABOUT = About(
    unit="PyPI",
    feed="osv",
    source="test",
    licence="none",
    attribution="nobody",
    fetched_at="2026-01-01T00:00:00Z",
)


def affected(name, ecosystem="PyPI", fixed="2"):
    events = (Event(EventKind.INTRODUCED, "0"), Event(EventKind.FIXED, fixed))
    return Affected(ecosystem=ecosystem, name=name, ranges=(AffectedRange(events),))


def advisory(id_, *parts, **more):
    return Advisory(id=id_, affected=parts, **more)


def built(directory, *items, unit="PyPI"):
    about = msgspec.structs.replace(ABOUT, unit=unit)
    build_database(unit_path(directory, unit), items, about)
    return unit_path(directory, unit)


ONE = advisory("GHSA-1", affected("Left_Pad"), affected("other"), modified="2024-05-01T00:00:00Z")
TWO = advisory("GHSA-2", affected("left.pad", fixed="3"), modified="2024-01-01T00:00:00Z")


def test_packages_are_found_by_normalised_name_with_what_is_about_them_alone(tmp_path):
    with UnitDatabase(built(tmp_path, TWO, ONE)) as database:
        assert database.advisories_of("PyPI", "left-pad") == (
            msgspec.structs.replace(ONE, affected=ONE.affected[:1]),
            TWO,
        )
        assert database.advisories_of("PyPI", "other") == (
            msgspec.structs.replace(ONE, affected=ONE.affected[1:]),
        )
        assert database.advisories_of("PyPI", "Left_Pad") == ()
        assert database.advisories_of("npm", "left-pad") == ()
        about = database.about
    assert (about.records_count, about.packages_count, about.newest_at) == (2, 2, "2024-05-01T00:00:00Z")  # fmt: skip
    assert about.ecosystems == {"PyPI": 2}


def test_several_databases_answer_as_one(tmp_path):
    built(tmp_path, ONE)
    built(tmp_path, advisory("DSA-1", affected("zlib", "Debian:12"), affected("zlib", "Debian:11")), unit="Debian")  # fmt: skip
    built(tmp_path, Enriched("CVE-1", Enrichment(known_exploited=True)), unit="kev")
    built(tmp_path, Enriched("CVE-1", Enrichment(exploit_probability=0.5)), Enriched("CVE-2", Enrichment(exploit_probability=0.1)), unit="epss")  # fmt: skip
    with AdvisoryDatabases(tmp_path) as databases:
        assert set(databases.ecosystems()) == {"PyPI", "Debian:12", "Debian:11"}
        assert [a.id for a in databases.advisories_of("Debian:12", "zlib")] == ["DSA-1"]
        assert databases.enrichment_of("CVE-1") == Enrichment(known_exploited=True, exploit_probability=0.5)  # fmt: skip
        assert databases.enrichment_of("CVE-2") == Enrichment(exploit_probability=0.1)
        assert databases.enrichment_of("CVE-3") == Enrichment()
        assert databases.broken == {}


def test_no_directory_is_no_data(tmp_path):
    with AdvisoryDatabases(tmp_path / "nowhere") as databases:
        assert (list(databases.ecosystems()), databases.stamp()) == ([], "")


@pytest.mark.parametrize("unit", ["Alpine:v3.20", "Rocky Linux", "Red Hat", "../x", "Maven:https://a/b", "*[?"])  # fmt: skip
def test_units_are_files_of_the_directory(tmp_path, unit):
    path = unit_path(tmp_path, unit)
    assert (path.parent, unit_of(path)) == (tmp_path, unit)


def test_the_same_records_have_the_same_stamp_in_whatever_order(tmp_path):
    stamps = set()
    far = advisory("GHSA-3", affected("x", "PyPI:other"))
    for number, items in enumerate([(ONE, TWO, far), (far, TWO, ONE), (TWO, far, ONE, ONE)]):
        directory = tmp_path / str(number)
        directory.mkdir()
        built(directory, *items)
        with AdvisoryDatabases(directory) as databases:
            stamps.add(databases.stamp())
    assert len(stamps) == 1
    built(tmp_path, ONE)
    with AdvisoryDatabases(tmp_path) as databases:
        assert databases.stamp() not in stamps


def test_what_has_changed_between_two_databases(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = built(tmp_path / "old", ONE, TWO, advisory("X-1", affected("gone")))
    new = built(tmp_path / "new", ONE, msgspec.structs.replace(TWO, summary="more"), advisory("X-2", affected("new")))  # fmt: skip
    assert sorted(changed_packages(old, new)) == [("PyPI", "gone"), ("PyPI", "left-pad"), ("PyPI", "new")]  # fmt: skip
    assert list(changed_packages(new, new)) == []
    assert len(list(changed_packages(None, new))) == 3


def test_a_reader_keeps_the_file_that_it_has_open(tmp_path):
    path = built(tmp_path, ONE)
    with UnitDatabase(path) as reader:
        fresh = tmp_path / "fresh"
        build_database(fresh, [TWO], ABOUT)
        fresh.replace(path)
        assert [a.id for a in reader.advisories_of("PyPI", "left-pad")] == ["GHSA-1"]
    with UnitDatabase(path) as reader:
        assert [a.id for a in reader.advisories_of("PyPI", "left-pad")] == ["GHSA-2"]


@pytest.mark.parametrize(
    "items",
    [
        [],
        [RefusedRecord("a.json", "not JSON")],
        [ONE, RefusedRecord("a.json", "not JSON")],
        [*[ONE] * 999, RefusedRecord("a.json", "not JSON")],
    ],
    ids=["empty", "refused_only", "one_of_two", "one_of_thousand"],
)
def test_too_little_is_no_database(tmp_path, items):
    with pytest.raises(MalformedFileError, match="record"):
        build_database(unit_path(tmp_path, "PyPI"), items, ABOUT)


def test_a_few_refused_records_are_told(tmp_path):
    done = build_database(
        unit_path(tmp_path, "PyPI"), [*[ONE] * 1000, RefusedRecord("a.json", "not JSON")], ABOUT
    )
    assert (done.refused_count, done.refused, done.packages_count) == (1, "a.json: not JSON", 2)


def test_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(database_build, "_AFFECTED_COUNT", 3)
    with pytest.raises(LimitExceededError, match="advisory_affected"):
        built(tmp_path, advisory("X-1", *[affected("a")] * 4))
    monkeypatch.setattr(database_build, "_PACKED_BYTES", 300)
    path = tmp_path / "b"
    with pytest.raises(LimitExceededError, match="package_advisories_bytes"):
        build_database(path, [advisory(f"X-{n}", affected("a")) for n in range(9)], ABOUT)


def test_long_texts_are_cut(tmp_path):
    with UnitDatabase(built(tmp_path, advisory("X-1", affected("a"), details="é" * 9_000))) as it:
        ((one,),) = [it.advisories_of("PyPI", "a")]
    assert len(one.details) == 2_000


def test_a_file_that_is_none_of_ours(tmp_path):
    path = tmp_path / "PyPI.advisories"
    for content in (b"", b"nonsense" * 1000, b"SQLite format 3\0" + bytes(500)):
        path.write_bytes(content)
        with pytest.raises(StoreError):
            UnitDatabase(path)
    with pytest.raises(StoreError, match="no such file"):
        UnitDatabase(tmp_path / "nothing")


def test_another_format_or_schema_is_refused(tmp_path):
    path = built(tmp_path, ONE)
    for statement in ("PRAGMA user_version=99", "PRAGMA user_version=1; CREATE VIEW evil AS SELECT 1"):  # fmt: skip
        connection = sqlite3.connect(path)
        connection.executescript(statement)
        connection.close()
        with pytest.raises(StoreError, match="not of format"):
            UnitDatabase(path)


def test_a_broken_database_is_told_and_the_others_answer(tmp_path):
    built(tmp_path, ONE)
    unit_path(tmp_path, "npm").write_bytes(b"x" * 9_000)
    with AdvisoryDatabases(tmp_path) as databases:
        assert list(databases.ecosystems()) == ["PyPI"]
        assert list(databases.broken) == ["npm"]


def test_every_flipped_byte_is_an_error_or_changes_nothing(tmp_path):
    """SQLite has no checksums: the hash of each package stands in for them when a file is taken in."""
    path = built(tmp_path, *[advisory(f"X-{n}", affected(f"p{n}"), summary=f"s{n}") for n in range(40)])  # fmt: skip
    whole = path.read_bytes()
    with UnitDatabase(path) as database:
        want = [database.advisories_of("PyPI", f"p{n}") for n in range(40)]
    silent = 0
    for at in range(100, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            with UnitDatabase(path) as database:
                database.verify()
                silent += [database.advisories_of("PyPI", f"p{n}") for n in range(40)] != want
        except StoreError:
            continue
    assert silent == 0


@pytest.mark.parametrize("name", ["npm", "pypi", "go", "crates", "debian", "almalinux", "alpine"])
def test_real_records_are_found_again(tmp_path, name):
    """Every package of every real record, by a count of its own."""
    path = FIXTURES / f"{name}.jsonl"
    with path.open("rb") as stream:
        items = list(parse_osv_file(FeedFile(name=name, stream=stream, unit=name)))
    assert not [i for i in items if isinstance(i, RefusedRecord)]
    file = built(tmp_path, *items, unit=name)
    found = 0
    with UnitDatabase(file) as database:
        database.verify()
        for ecosystem, package, _ in database.hashes():
            for one in database.advisories_of(ecosystem, package):
                found += len(one.affected)
    assert found == sum(len(i.affected) for i in items)
