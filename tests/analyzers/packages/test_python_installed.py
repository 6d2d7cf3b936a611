"""Installed Python distributions."""

from __future__ import annotations

import pytest

from scanner.analyzers.packages.python_installed import ANALYZERS
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import LayerFile

INSTALLED, VENDORED = ANALYZERS
SITE = "usr/lib/python3.11/site-packages"
PATH = f"{SITE}/x-1.0.dist-info/METADATA"


def parse(body: bytes, path: str = PATH):
    return list(INSTALLED.parse(LayerFile(path, body)))


def pypi(name, version, path=PATH, licenses=()):
    return Package(purl_type="pypi", name=name, version=version, path=path, licenses=licenses)


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(
            b"Name: Flask\nVersion: 3.0\n\nName: not-me\n", pypi("flask", "3.0"), id="plain"
        ),
        pytest.param(b"Name: a_B.c\nVersion: 1\n", pypi("a-b.c", "1"), id="normalised_dots_kept"),
        pytest.param(b"Name: x\r\nVersion: 1\r\n\r\nbody", pypi("x", "1"), id="crlf"),
        pytest.param(b"\xef\xbb\xbfName: x\nVersion: 1\n", pypi("x", "1"), id="byte_order_mark"),
        pytest.param(b"name : x\nVERSION:1\n", pypi("x", "1"), id="any_case_any_space"),
        pytest.param(
            b"Name: x\nVersion: 1\nName: y\nVersion: 2\n", pypi("x", "1"), id="first_wins"
        ),
        pytest.param(
            b"Name: x\nVersion: 1\nLicense: MIT\nLicense-Expression: Apache-2.0 OR MIT\n",
            pypi("x", "1", licenses=("Apache-2.0 OR MIT",)),
            id="expression_before_license",
        ),
        pytest.param(
            b"Name: x\nVersion: 1\nLicense: Copyright\n  all of it\n  more\n",
            pypi("x", "1"),
            id="whole_text_is_no_license_name",
        ),
        pytest.param(b"Name: x\nVersion: 1\nLicense: UNKNOWN\n", pypi("x", "1"), id="unknown"),
        pytest.param(
            b"Summary: caf\xe9\nName: x\nVersion: 1\n", pypi("x", "1"), id="latin_1_elsewhere"
        ),
        pytest.param(b"", pypi("x", "1.0"), id="empty_body_named_by_directory"),
        pytest.param(
            b"Metadata-Version: 2.1\n\nName: z\n", pypi("x", "1.0"), id="body_is_no_header"
        ),
    ],
)
def test_parse(body, want):
    assert parse(body) == [want]


@pytest.mark.parametrize(
    ("path", "want"),
    [
        pytest.param(f"{SITE}/my_app-2.1.dist-info/METADATA", ("my-app", "2.1"), id="dist_info"),
        pytest.param(f"{SITE}/a-2.1-py3.11.egg-info/PKG-INFO", ("a", "2.1"), id="egg_info"),
        pytest.param(f"{SITE}/a-2.1.egg-info", ("a", "2.1"), id="egg_info_file"),
        pytest.param(
            f"{SITE}/a-2.1-py3.11-linux-x86_64.egg/EGG-INFO/PKG-INFO", ("a", "2.1"), id="egg"
        ),
    ],
)
def test_path_stands_in(path, want):
    assert parse(b"", path) == [pypi(*want, path=path)]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        pytest.param(b"", "srv/foo.egg-info/PKG-INFO", id="no_version_anywhere"),
        pytest.param(b"Version: 1\n", "srv/EGG-INFO/PKG-INFO", id="no_name_anywhere"),
    ],
)
def test_parse_rejects(body, path):
    with pytest.raises(MalformedFileError):
        parse(body, path)


def test_leftovers_of_an_interrupted_uninstall_are_not_installed():
    assert parse(b"Name: pip\nVersion: 1\n", f"{SITE}/~ip-1.dist-info/METADATA") == []


def test_vendored_copies_are_reported_with_their_path():
    path = f"{SITE}/setuptools/_vendor/wheel-0.43.0.dist-info/METADATA"
    assert parse(b"Name: wheel\nVersion: 0.43.0\n", path) == [pypi("wheel", "0.43.0", path)]


def test_vendor_txt():
    path = f"{SITE}/pip/_vendor/vendor.txt"
    body = b"CacheControl==0.14.1 # Make sure\n\nrequests==2.32.3\n    certifi==2024.8.30\nplatformdirs>=4\n"
    assert list(VENDORED.parse(LayerFile(path, body))) == [
        pypi("cachecontrol", "0.14.1", path),
        pypi("requests", "2.32.3", path),
        pypi("certifi", "2024.8.30", path),
    ]
