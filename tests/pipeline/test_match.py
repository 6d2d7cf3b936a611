"""Vulnerabilities are added when a report is given out: with the advisories of now, never those of the day it was stored."""

from __future__ import annotations

import json

import pytest
from support.feed_files import record
from support.image_builder import Entry, image, tar_layer, write_oci_layout
from support.scanning import command, environment, scan_json
from support.scanning import run_scan as run

from scanner import app_advisories
from scanner.advisories.database import unit_path
from scanner.advisories.update import UpdateOptions, update_unit
from scanner.advisories.update_state import wanted_units
from scanner.config import load_settings
from scanner.model import Kind
from scanner.store import open_store

METADATA = b"Metadata-Version: 2.1\nName: Left_Pad\nVersion: 1.0\n"
ROOT = "usr/lib/python3/dist-packages/left_pad-1.0.dist-info"
HINT = "vulnerabilities were not looked for, as there is no advisory data: scanner db update PyPI"


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    directory = tmp_path_factory.mktemp("match") / "layout"
    entries = [Entry(f"{ROOT}/METADATA", METADATA), Entry(f"{ROOT}/RECORD", b"")]
    write_oci_layout([image([tar_layer(entries)])], directory)
    return f"oci:{directory}"


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def settings(home):
    return load_settings(None, {}, environment(home))


def fill(home, *records, unit="PyPI"):
    """Build a database of these records, as an update would."""
    file = home.parent / f"{unit}.jsonl"
    file.write_bytes(b"\n".join(records))
    chosen = settings(home)
    options = UpdateOptions(directory=app_advisories.directory(chosen), may_shrink=True)
    feed = app_advisories.feed_of(chosen, unit, "osv")
    return update_unit(unit, feed, app_advisories.open_source(chosen, feed, str(file)), options)


def vulnerability(number, fixed="2.0", name="left-pad", ecosystem="PyPI"):
    return record(f"GHSA-aaaa-bbbb-{number:04}", name, ecosystem, fixed)


def rules(outcome):
    return [f["rule_id"] for f in outcome.image["findings"] if f["kind"] == "vulnerability"]


def test_without_any_data_the_report_says_so_and_how_to_get_it(home, layout):
    seen = scan_json(home, layout)
    assert (seen.code, rules(seen)) == (0, [])
    assert "vulnerability" in seen.image["coverage"]["not_looked_for"]
    assert "advisories" not in seen.image
    assert seen.stderr.strip() == HINT
    assert wanted_units(app_advisories.directory(settings(home))) == ["PyPI"]
    assert "vulnerabilities" in run(home, layout).stdout


def test_a_stored_report_is_matched_with_what_is_known_now(home, layout):
    assert rules(scan_json(home, layout)) == []
    fill(home, vulnerability(1), vulnerability(2, "0.9"))
    seen = scan_json(home, layout)
    assert rules(seen) == ["vulnerability/GHSA-aaaa-bbbb-0001"]
    assert (seen.image["layers"][0]["cached"], seen.code, seen.stderr) == (True, 0, "")
    assert seen.image["coverage"]["not_looked_for"] == []
    first = seen.image["advisories"]
    assert list(first["checked_at"]) == ["PyPI"]
    fill(home, vulnerability(1, "0.5"), vulnerability(3, "1.1"))
    seen = scan_json(home, layout)
    assert rules(seen) == ["vulnerability/GHSA-aaaa-bbbb-0003"]
    assert seen.image["advisories"]["stamp"] != first["stamp"]
    assert run(home, layout, "--fail-on", "info").code == 1


def test_data_of_other_ecosystems_only_makes_it_partial(home, layout):
    fill(home, vulnerability(1, ecosystem="npm"), unit="npm")
    seen = scan_json(home, layout)
    assert (seen.code, seen.report["state"]) == (3, "partial")
    assert [i["code"] for i in seen.image["coverage"]["issues"]] == ["no-advisory-data"]
    assert seen.stderr.strip() == "advisory data is missing: scanner db update PyPI"
    fill(home, vulnerability(1))
    assert scan_json(home, layout).code == 0


def test_data_that_is_out_of_date_is_told(home, layout):
    fill(home, vulnerability(1))
    seen = scan_json(home, layout, advisories_max_age_hours="0.0000001")
    assert seen.image["advisories"]["out_of_date"] == ["PyPI"]
    assert seen.stderr.strip() == "advisory data is out of date (PyPI): scanner db update"


def test_a_broken_database_is_never_taken_for_an_empty_one(home, layout):
    fill(home, vulnerability(1))
    unit_path(app_advisories.directory(settings(home)), "PyPI").write_bytes(b"broken" * 999)
    seen = run(home, layout)
    assert seen.code == 4
    assert "advisories of PyPI: not readable" in seen.stderr
    assert "scanner db update PyPI" in seen.stderr


def test_what_is_kept_to_be_asked_for_has_what_was_matched(home, layout):
    """The tables tell of the newest match; the report that answers other scans knows nothing of advisories."""
    fill(home, vulnerability(1))
    digest = scan_json(home, layout).report["digest"]

    def told():
        import subprocess

        done = subprocess.run(
            command("query", digest, "--format", "json"),
            env=environment(home), capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        (one,) = json.loads(done.stdout)["images"]
        return [f["rule_id"] for f in one["findings"] if f["kind"] == "vulnerability"]

    assert told() == ["vulnerability/GHSA-aaaa-bbbb-0001"]
    scan_json(home, layout)
    assert told() == ["vulnerability/GHSA-aaaa-bbbb-0001"]
    fill(home, vulnerability(4))
    scan_json(home, layout)
    assert told() == ["vulnerability/GHSA-aaaa-bbbb-0004"]
    store = open_store(home / "data")
    try:
        seen = scan_json(home, layout)
        stored = store.load_image(digest, seen.report["fingerprint"])
    finally:
        store.close()
    assert stored is not None
    assert (stored.advisories, stored.coverage.not_looked_for) == (None, ("vulnerability",))
    assert Kind.VULNERABILITY not in {f.kind for f in stored.findings}
