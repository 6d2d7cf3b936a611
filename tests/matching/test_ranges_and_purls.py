"""Ranges of versions and package URLs."""

from __future__ import annotations

import pytest

from scanner.discovery import version_schemes
from scanner.errors import InvalidReferenceError
from scanner.matching.purl import Purl, parse_purl
from scanner.matching.ranges import Selection, parse_range, select
from scanner.model import Package

VERSIONS = ["2.14.1", "2.16.0", "2.17", "2.17.1", "3-rc1", "${version}"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("<2.17", ("2.14.1", "2.16.0")),
        ("<=2.17.0", ("2.14.1", "2.16.0", "2.17")),
        (">=2.15, <2.17.1", ("2.16.0", "2.17")),
        ("> 2.17", ("2.17.1", "3-rc1")),
        ("=2.17.0,<9", ("2.17",)),
    ],
)
def test_select(text, want):
    found = select(parse_range(text), VERSIONS, version_schemes()["maven"])
    assert found == Selection(want, ("${version}",))


@pytest.mark.parametrize(
    ("text", "exact"), [("2.17", "2.17"), ("==1", "1"), ("= 1", "1"), ("<1", ""), ("1,<2", "")]
)
def test_exact(text, exact):
    assert parse_range(text).exact == exact


@pytest.mark.parametrize(
    "text", ["", ",", "<", "<1,", "1 2", "~1", ">=<1", "<1," * 9 + "<1", "!=1"]
)
def test_no_range(text):
    if text in {"~1", "!=1"}:  # a version of its own, which no scheme knows
        with pytest.raises(InvalidReferenceError):
            select(parse_range(f"<{text}"), VERSIONS, version_schemes()["npm"])
        return
    with pytest.raises(InvalidReferenceError):
        parse_range(text)


@pytest.mark.parametrize("bound", ["<what", "<" + "1" * 300])
def test_bounds_must_be_versions(bound):
    with pytest.raises(InvalidReferenceError):
        select(parse_range(bound), [], version_schemes()["npm"])


@pytest.mark.parametrize(
    "package",
    [
        Package(purl_type="deb", namespace="debian", name="g++", version="1:2.4-1", path="x"),
        Package(
            purl_type="maven", namespace="org.apache", name="log4j-core", version="2", path="x"
        ),
        Package(purl_type="npm", namespace="@angular", name="core", version="17.0.0", path="x"),
        Package(purl_type="golang", name="github.com/a/b/v2", version="v2.0.0", path="x"),
        Package(purl_type="pypi", name="flask", version="1+x", path="x", qualifiers={"a": "b"}),
        Package(purl_type="rpm", namespace="rhel", name="Xorg", version="1-2", path="x"),
    ],
    ids=lambda p: p.purl_type,
)
def test_what_reports_write_is_read(package):
    want = Purl(package.purl_type, package.namespace, package.name, package.version)
    assert parse_purl(package.purl) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("pkg:npm/@angular/core", Purl("npm", "@angular", "core", "")),
        ("pkg:npm/@angular/core@1", Purl("npm", "@angular", "core", "1")),
        ("pkg:PyPI/Ruamel_Yaml", Purl("pypi", "", "ruamel-yaml", "")),
        ("pkg:/deb/debian/curl?arch=amd64#x", Purl("deb", "debian", "curl", "")),
    ],
)
def test_other_spellings(text, want):
    assert parse_purl(text) == want


@pytest.mark.parametrize(
    "text", ["", "curl", "pkg:", "pkg:deb", "pkg:deb/", "pkg:1/x", "pkg:npm/" + "a" * 3000]
)
def test_no_purl(text):
    with pytest.raises(InvalidReferenceError):
        parse_purl(text)
