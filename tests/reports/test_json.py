"""The JSON report: compared whole, as its schema says, and safe to show on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest
from support.golden import assert_golden
from support.sample_report import HOSTILE, sample_report

from scanner.model import ScanReport
from scanner.reports.json import FORMAT, schema

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path(__file__).parents[2] / "docs/schema/scan-report-1.1.json"


def written(report: ScanReport) -> str:
    stream = io.StringIO()
    FORMAT.write(report, stream, False, 80)  # noqa: FBT003 - colour
    return stream.getvalue()


def test_golden():
    assert_golden(written(sample_report()), GOLDEN / "report.json")


def test_is_as_the_published_schema_says():
    published = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads(written(sample_report())), published)


def test_published_schema_is_that_of_the_code():
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(schema()))


@pytest.mark.parametrize("missing", ["state", "images", "schema_version", "skipped"])
def test_schema_wants_what_must_not_be_left_out(missing):
    document = json.loads(written(sample_report()))
    del document[missing]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


def test_coverage_is_never_left_out():
    document = json.loads(written(sample_report()))
    for image in document["images"]:
        assert {"issues", "limits", "not_looked_for"} <= image["coverage"].keys()


def test_packages_have_their_purl():
    packages = json.loads(written(sample_report()))["images"][0]["packages"]
    assert [p["purl"] for p in packages] == [
        "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64",
        "pkg:pypi/flask@3.0",
    ]


def test_hostile_texts_are_data():
    text = written(sample_report())
    assert all(c.isprintable() or c == "\n" for c in text)
    assert json.loads(text)["reference"] == f"oci:demo {HOSTILE}"
