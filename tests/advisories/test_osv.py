"""OSV records: read whole, made alike whoever wrote them, refused where they are hostile."""

from __future__ import annotations

import json

import pytest
from support.advisory_lookup import FIXTURES, affects, before, osv, records

from scanner.advisories.osv import RECORD_BYTES, parse_osv
from scanner.errors import InputError, LimitExceededError, MalformedFileError
from scanner.model.advisory import (
    Advisory,
    Affected,
    AffectedRange,
    Event,
    EventKind,
    FixState,
    Score,
)


def parse(value):
    return parse_osv(value if isinstance(value, bytes) else json.dumps(value).encode(), "x.json")


def test_whole_record():
    record = {
        "schema_version": "1.7.0",
        "id": "GHSA-1",
        "modified": "2026-01-02T03:04:05Z",
        "published": "0001-01-01T00:00:00Z",
        "withdrawn": "2026-01-03T00:00:00Z",
        "aliases": ["CVE-2026-0001", "CVE-2026-0001", "", "CVE-2026-0002 (+)"],
        "upstream": ["CVE-2026-0003"],
        "related": None,
        "summary": "Bad",
        "details": "Very bad",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "Some.Thing", "purl": "pkg:pypi/x"},
                "ranges": [
                    {"type": "GIT", "repo": "x", "events": [{"introduced": "0"}]},
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "2"}]},
                ],
                "versions": ["1.0", ""],
                "database_specific": {"informational": "unmaintained", "status": "fixed"},
            },
            {"ranges": [{"type": "GIT", "events": []}]},
            {"package": {"ecosystem": "PyPI", "name": "y"}, "ranges": [{"type": "GIT", "events": []}]},
        ],
        "references": [{"type": "WEB", "url": "https://example.com"}],
        "database_specific": {"severity": "MODERATE", "cvss_v3": 6.1, "cwe_ids": [1, None]},
        "unknown": {"field": [1]},
    }  # fmt: skip
    assert parse(record) == Advisory(
        id="GHSA-1",
        modified="2026-01-02T03:04:05Z",
        withdrawn="2026-01-03T00:00:00Z",
        aliases=("CVE-2026-0001",),
        upstream=("CVE-2026-0003",),
        summary="Bad",
        details="Very bad",
        rating="MODERATE",
        scores=(Score("CVSS_V3", "CVSS:3.1/AV:N"), Score("CVSS_V3_SCORE", "6.1")),
        informational="unmaintained",
        references=("https://example.com",),
        affected=(
            Affected(
                ecosystem="PyPI",
                name="Some.Thing",
                ranges=(
                    AffectedRange(
                        (Event(EventKind.INTRODUCED, "0"), Event(EventKind.LAST_AFFECTED, "2"))
                    ),
                ),
                versions=("1.0",),
                state=FixState.FIXED,
            ),
            Affected(ecosystem="PyPI", name="y", has_commits_only=True),
        ),
    )


def test_least_record():
    assert parse({"id": "X-1", "modified": "2026-01-01T00:00:00Z"}) == Advisory(
        id="X-1", modified="2026-01-01T00:00:00Z"
    )


RATINGS = {
    "ubuntu": ({"severity": [{"type": "Ubuntu", "score": "low"}]}, "low"),
    "github": ({"database_specific": {"severity": "CRITICAL"}}, "CRITICAL"),
    "erratum": ({"summary": "Important: dnsmasq security update"}, "Important"),
    "vendor_and_erratum": ({"summary": "Red Hat Security Advisory: Moderate: expat update"}, ""),
    "none": ({"summary": "Low effort"}, ""),
    "no_text": ({"database_specific": {"severity": 3}}, ""),
}


@pytest.mark.parametrize(("more", "want"), RATINGS.values(), ids=RATINGS)
def test_rating(more, want):
    if want == "":
        assert osv("X-1", **more).rating in ("", "Moderate")
    else:
        assert osv("X-1", **more).rating == want


def test_streams_are_for_builds_of_modules():
    advisory = osv(
        "ALSA-1",
        affects("AlmaLinux:8", "libvirt", *before("8.0.0-1.module_el8.10.0+1+aa")),
        affects("AlmaLinux:8", "plain", *before("8.0.0-1.el8")),
        summary="Important: virt:rhel and virt-devel:rhel security update",
    )
    streams = {a.name: a.streams for a in advisory.affected}
    assert streams == {"libvirt": ("virt:rhel", "virt-devel:rhel"), "plain": ()}


def deep(count):
    return b'{"id":"X-1","database_specific":{"a":' + b"[" * count + b"]" * count + b"}}"


REFUSED = {
    "empty": b"",
    "truncated": b'{"id":"X-1","affected":[{"pack',
    "not_utf8": b'{"id":"\xff\xfe"}',
    "nul": b"\x00" * 100,
    "array": b"[]",
    "null": b"null",
    "no_id": b'{"modified":"x"}',
    "empty_id": b'{"id":""}',
    "id_with_blanks": b'{"id":"CVE 1"}',
    "id_with_newline": b'{"id":"CVE-1\\n"}',
    "number_as_id": b'{"id":7}',
    "number_as_version": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": "b"}, "versions": [1]}]},
    "number_as_event": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": "b"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": 0}]}]}]},
    "unknown_event": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": "b"}, "ranges": [{"type": "SEMVER", "events": [{"began": "0"}]}]}]},
    "empty_event": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": "b"}, "ranges": [{"type": "SEMVER", "events": [{"fixed": ""}]}]}]},
    "long_event": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": "b"}, "ranges": [{"type": "SEMVER", "events": [{"fixed": "1" * 300}]}]}]},
    "no_name": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": ""}}]},
    "long_name": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": "b" * 2000}}]},
    "text_as_affected": {"id": "X", "affected": "all"},
    "nested_too_deep": deep(200_000),
}  # fmt: skip


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_refused(body):
    with pytest.raises(MalformedFileError):
        parse(body)


TOO_MUCH = {
    "bytes": b" " * (RECORD_BYTES + 1),
    "affected": {"id": "X", "affected": [{}] * 100_001},
    "events": {"id": "X", "affected": [{"package": {"ecosystem": "a", "name": "b"}, "ranges": [{"type": "SEMVER", "events": [{}] * 10_001}]}]},
}  # fmt: skip


@pytest.mark.parametrize("body", TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much(body):
    with pytest.raises(LimitExceededError):
        parse(body)


def test_cut_or_changed_anywhere():
    """Whatever a byte of a real record is changed to, it is read or refused, and nothing else."""
    line = (FIXTURES / "crates.jsonl").read_bytes().splitlines()[0]
    for place in range(0, len(line), 7):
        for body in (line[:place], line[:place] + b"\x00{" + line[place + 1 :]):
            try:
                parse_osv(body, "x")
            except InputError:
                continue


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.jsonl")), ids=lambda p: p.stem)
def test_real_records(path):
    found = records(path.stem)
    assert found
    assert all(a.affected for a in found)
