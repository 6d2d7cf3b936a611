"""Every version scheme: what sorts before what, what is the same, what is no version."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from scanner.discovery import version_schemes

ORDERS = {
    "deb": [
        "1.0~~", "1.0~~a", "1.0~", "1.0~rc1-1", "1.0", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2",
        "1.0-10", "1.0a", "1.0a1", "1.0+dfsg", "1.0.1", "1.2", "1.10", "2-1~bpo11+1", "2-1", "1:0.1",
    ],
    "rpm": [
        "1.0~rc1-1", "1.0-1", "1.0-1.el9", "1.0-2", "1.0^20240101-1", "1.0a-1", "1.0.a-2", "1.0.1-1", "1.2-1",
        "1.10-1", "2.0-1.el9_4.1", "2.0-1.el9_4.2", "1:0.1-1", "2:0.0.1-1",
    ],
    "apk": [
        "1.0_alpha", "1.0_alpha1", "1.0_beta", "1.0_pre2", "1.0_rc1", "1.0_rc1-r1", "1.0", "1.0-r0",
        "1.0-r1", "1.0_git20200101", "1.0_p1", "1.0_p1-r3", "1.0a", "1.0b", "1.0.05", "1.0.1", "1.2", "1.10", "2",
    ],
    "npm": [
        "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
        "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0",
    ],
    "golang": [
        "v0.0.0-20190101000000-abcdefabcdef", "v0.0.0-20200101000000-abcdefabcdef", "v0.1.0",
        "1.21.3", "go1.22beta1", "1.22rc1", "1.22.0-rc.2", "v1.22.0", "v2.0.0+incompatible",
    ],
    "pypi": [
        "1.0.dev1", "1.0a1.dev2", "1.0a1", "1.0a1.post1", "1.0b2", "1.0rc1", "1.0", "1.0+abc", "1.0+abc.5",
        "1.0+5", "1.0.post1.dev2", "1.0.post1", "1.0.1", "1.2", "1.10", "1!0.1",
    ],
    "gem": ["1.0.a", "1.0.a2", "1.0.b1", "1.0.pre1", "1.0.rc1", "1.0", "1.0.1", "1.2", "1.10", "2.0.0.pre", "2"],
    "maven": [
        "1-alpha1", "1-beta-1", "1-m3", "1-rc1", "1-snapshot", "1", "1-sp", "1-abc", "1-foo2", "1-foo10",
        "1-1", "1-2", "1.1", "1.2-beta9", "1.2", "1.10", "2.0-rc2", "2.16.0", "2.17", "2.17.1",
    ],
    "cargo": ["0.1.0-alpha.1", "0.1.0-rc.0", "0.1.0", "0.2.0", "0.10.0", "1.0.0"],
    "hex": ["1.0.0-dev", "1.0.0-rc.0", "1.0.0", "1.0.1", "1.10.0"],
    "swift": ["1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "5.7.1"],
    "pub": ["1.0.0-dev.1", "1.0.0-dev.1+1", "1.0.0", "1.0.0+1", "1.0.0+2", "1.0.0+10", "1.0.1"],
    "nuget": ["1.0.0-Alpha", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-RC", "1.0.0", "1.0.0.1", "1.0.1", "4.10", "13.0.1"],
    "composer": [
        "1.0-dev", "1.0.0-alpha", "v1.0.0-alpha2", "1.0.0-beta1", "1.0.0-beta10", "1.0.0RC1", "1.0.0-rc2-dev",
        "1.0.0-rc2", "1.0", "1.0.0-p1", "1.0.0-patch2", "1.0.1", "1.2", "1.10", "2010.01.02",
    ],
    "conan": ["1.0-alpha", "1.0-beta.2", "1.0-beta.11", "1.0", "1.0+1", "1.1.1", "1.1.1k", "1.1.1w", "1.2", "cci.20200101"],
    "cran": ["0.9", "1.0", "1.0.0", "1.0-1", "1.2", "1.10-3", "1.10.4"],
    "generic": ["1.0.0-alpha1", "1.0.0~beta", "1.0rc1", "1.0", "1.0-r1", "1.0+7", "1.1", "1.2", "1.10", "17.0.2-ea", "17.0.2", "17.0.10"],
}  # fmt: skip

SAME = [
    ("deb", "1.0", "0:1.0-0"),
    ("deb", "1.0-1", "1.00-1"),
    ("rpm", "1.0-1", "1_0-01"),
    ("apk", "1.0-r1", "1.0-r01"),
    ("npm", "1.2.3", "v1.2.3+build"),
    ("golang", "1.21", "v1.21.0"),
    ("golang", "go1.22rc2", "1.22.0-rc.2"),
    ("rpm", "0:1.0-1", "1.0-1"),
    ("cargo", "1.0.0+a", "1.0.0+b"),
    ("nuget", "1.0.0.0-RC+x", "1.0-rc"),
    ("composer", "v1.0", "1.0.0.0-stable"),
    ("composer", "1.0b3", "1.0.0-beta.3"),
    ("conan", "1.0", "1.0.0"),
    ("conan", "1.0@user/channel#abc", "1"),
    ("cran", "1.0-1", "1.0.1"),
    ("generic", "v1.0", "1.0.0"),
    ("pypi", "1.0", "v1.0.0"),
    ("pypi", "1.0RC1", "1-c.1"),
    ("gem", "1.0", "1"),
    ("gem", "1.0.a", "1.a"),
    ("maven", "1", "1.0.0-ga"),
    ("maven", "1-a1", "1-alpha-1"),
    ("maven", "1.foo", "1-foo"),
    ("maven", "2.0.FINAL", "2"),
]

NOT_VERSIONS = [
    ("deb", ""), ("deb", "1 2"), ("deb", "x:1"), ("deb", "-1"),
    ("rpm", ""), ("rpm", "x:1.0-1"), ("rpm", "1-2-3"), ("rpm", "ä"),
    ("apk", ""), ("apk", "v1"), ("apk", "1.0_what"), ("apk", "1.0-r"),
    ("npm", ""), ("npm", "latest"), ("npm", "1..2"), ("golang", "(devel)"), ("golang", "go1.21xyz2"),
    ("pypi", ""), ("pypi", "1.0-what"), ("pypi", "٣"),
    ("gem", ""), ("gem", "a"), ("gem", "1..2"),
    ("composer", ""), ("composer", "dev-main"), ("composer", "1.x-dev"), ("nuget", "1.*"),
    ("cran", ""), ("cran", "1.0a"), ("conan", ""), ("conan", "1 2"), ("conan", "[>1]"), ("generic", ""), ("generic", "latest"),
    ("maven", ""), ("maven", "${project.version}"), ("maven", "1 2"),
]  # fmt: skip


def sign(scheme, left, right):
    a, b = version_schemes()[scheme].key(left), version_schemes()[scheme].key(right)
    assert a is not None, left
    assert b is not None, right
    return (a > b) - (a < b)


@pytest.mark.parametrize("scheme", ORDERS)
def test_order(scheme):
    order = ORDERS[scheme]
    for (i, left), (j, right) in itertools.product(enumerate(order), repeat=2):
        assert sign(scheme, left, right) == (i > j) - (i < j), (left, right)


@pytest.mark.parametrize(("scheme", "left", "right"), SAME)
def test_same(scheme, left, right):
    assert sign(scheme, left, right) == 0


@pytest.mark.parametrize(("scheme", "text"), NOT_VERSIONS)
def test_no_version(scheme, text):
    assert version_schemes()[scheme].key(text) is None


@pytest.mark.parametrize("scheme", sorted(version_schemes()))
@given(
    left=st.text(alphabet="0123456789abrcpv.-_+~^:!", max_size=12),
    right=st.text(alphabet="0123456789abrcpv.-_+~^:!", max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_whatever_has_a_key_compares(scheme, left, right):
    a, b = version_schemes()[scheme].key(left), version_schemes()[scheme].key(right)
    if a is not None and b is not None:
        assert (a < b) + (a == b) + (a > b) == 1
        assert (a < b) == (b > a)


PEP440 = st.from_regex(
    r"\Av?(1!)?[0-9]{1,2}(\.[0-9]{1,2}){0,2}([.-]?(a|b|rc|beta|preview)[.-]?[0-9]?)?(-[0-9]|[.-]?(post|r)[0-9]?)?"
    r"([.-]?dev[0-9]?)?(\+[a-z0-9]{1,2}(\.[a-z0-9]{1,2})?)?\Z"
)


@given(left=PEP440, right=PEP440)
@settings(max_examples=300, deadline=None)
def test_python_as_its_own_library(left, right):
    a, b = Version(left), Version(right)
    assert sign("pypi", left, right) == (a > b) - (a < b)


@given(st.text(alphabet="0123456789abrcdevpost.-_+!v", max_size=10))
@settings(max_examples=300, deadline=None)
def test_python_knows_the_same_versions(text):
    try:
        is_version = bool(Version(text))
    except InvalidVersion:
        is_version = False
    assert (version_schemes()["pypi"].key(text) is not None) == is_version


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_debian_as_its_own_tool():
    order = ORDERS["deb"]
    for left, right in itertools.pairwise(order):
        done = subprocess.run(["dpkg", "--compare-versions", left, "lt", right], check=False)
        assert done.returncode == 0, (left, right)
