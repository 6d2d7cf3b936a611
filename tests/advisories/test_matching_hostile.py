"""Whatever packages and advisories hold, a match ends, soon, and with an answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.advisory_lookup import MemoryLookup, affects, osv

from scanner.advisories.matcher import match
from scanner.advisories.names import ECOSYSTEMS, language_name
from scanner.advisories.osv import parse_osv
from scanner.discovery import version_schemes
from scanner.errors import InputError
from scanner.model import Distribution, Package

TYPES = sorted(version_schemes().keys() & ECOSYSTEMS.keys())
TEXT = st.text(max_size=20)
VERSION = st.one_of(
    TEXT, st.text(alphabet="0123456789abrcdevpost.-_+~^:!*", min_size=1, max_size=14), st.just("0")
)
EVENT = st.dictionaries(
    st.sampled_from(["introduced", "fixed", "last_affected", "limit", "other"]), VERSION, max_size=2
)
RANGE = st.fixed_dictionaries(
    {"type": st.sampled_from(["SEMVER", "ECOSYSTEM", "GIT", "?"]), "events": st.lists(EVENT, max_size=5)}
)  # fmt: skip


@pytest.mark.parametrize("purl_type", TYPES)
@given(version=VERSION, ranges=st.lists(RANGE, max_size=3), versions=st.lists(VERSION, max_size=3), ids=st.lists(TEXT, max_size=3))  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_any_record(purl_type, version, ranges, versions, ids):
    ecosystem = ECOSYSTEMS[purl_type]
    affected = {"package": {"ecosystem": ecosystem, "name": "x"}, "ranges": ranges, "versions": versions}  # fmt: skip
    record = {"id": "X-1", "aliases": ids, "upstream": ids, "affected": [affected]}
    try:
        advisory = parse_osv(json.dumps(record).encode(), "x")
    except InputError:
        return
    package = Package(purl_type=purl_type, name="x", version=version, path="x")
    for finding in match([package], None, MemoryLookup([advisory])).findings:
        assert finding.evidence["vulnerability"]
        assert " " not in finding.evidence["vulnerability"]


@given(st.tuples(*[TEXT] * 7))
@settings(max_examples=100, deadline=None)
def test_any_package(texts):
    name, namespace, version, source, id_, release, epoch = texts
    lookup = MemoryLookup([osv("X-1", affects("Debian:12", "x", {"introduced": "0"}))], ecosystems=["PyPI", "npm", "Maven"])  # fmt: skip
    for purl_type in ("deb", "rpm", "apk", "npm", "maven", "golang", name):
        package = Package(
            purl_type=purl_type, namespace=namespace, name=name, version=version, path="x", source_name=source,
            source_version=version, qualifiers={"epoch": epoch, "rpmmod": version}, from_distribution=purl_type in ("deb", "rpm", "apk"),
        )  # fmt: skip
        for distribution in (None, Distribution(id=id_, version=release), Distribution(id="debian", version=release)):  # fmt: skip
            match([package], distribution, lookup)
        language_name(package)


def test_many_events_and_versions():
    events = [
        {kind: f"{n}.{m}"} for n in range(100) for kind, m in (("introduced", 0), ("fixed", 5))
    ]
    versions = [f"1000.{n}" for n in range(50_000)]
    many = [osv(f"X-{n}", affects("PyPI", "x", *events, versions=versions if n == 0 else [])) for n in range(50)]  # fmt: skip
    package = Package(purl_type="pypi", name="x", version="50.3", path="x")
    assert len(match([package], None, MemoryLookup(many)).findings) == 50


def test_aliases_in_a_ring():
    ring = [
        osv(f"X-{n}", affects("PyPI", "x", {"introduced": "0"}), aliases=[f"X-{(n + 1) % 500}"])
        for n in range(500)
    ]
    package = Package(purl_type="pypi", name="x", version="1", path="x")
    (finding,) = match([package], None, MemoryLookup(ring)).findings
    assert len(finding.evidence["aliases"].split()) == 499
