"""Installed Node packages."""

from __future__ import annotations

import json

import pytest

from scanner.analyzers.packages.node_installed import ANALYZERS
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import LayerFile

(ANALYZER,) = ANALYZERS
PATH = "app/node_modules/left-pad/package.json"
BODY = b'{"name": "left-pad", "version": "1.3.0"}'


def parse(body: bytes, path: str = PATH):
    return list(ANALYZER.parse(LayerFile(path, body)))


def npm(name, version, *, scope="", licenses=(), path=PATH):
    return Package(
        purl_type="npm", namespace=scope, name=name, version=version, path=path, licenses=licenses
    )


@pytest.mark.parametrize(
    ("manifest", "want"),
    [
        pytest.param({"name": "a", "version": "1.0.0"}, [npm("a", "1.0.0")], id="plain"),
        pytest.param(
            {"name": "@babel/core", "version": "7.1.0"},
            [npm("core", "7.1.0", scope="@babel")],
            id="scoped",
        ),
        pytest.param(
            {"name": "a", "version": "1", "license": "MIT"},
            [npm("a", "1", licenses=("MIT",))],
            id="license",
        ),
        pytest.param(
            {"name": "a", "version": "1", "licenses": [{"type": "MIT"}, {"url": "x"}, 7, "ISC"]},
            [npm("a", "1", licenses=("MIT", "ISC"))],
            id="old_licenses",
        ),
        pytest.param(
            {"name": "a", "version": "1", "license": {"type": "BSD"}},
            [npm("a", "1", licenses=("BSD",))],
            id="old_license",
        ),
        pytest.param({"name": "a"}, [], id="no_version"),
        pytest.param({"version": "1"}, [], id="no_name"),
        pytest.param({"name": ["a"], "version": 1}, [], id="wrong_types"),
        pytest.param({"name": "\ud800", "version": "1"}, [], id="half_a_surrogate_pair"),
        pytest.param({"name": "a" * 300, "version": "1"}, [], id="longer_than_npm_allows"),
        pytest.param(["a"], [], id="not_a_table"),
    ],
)
def test_parse(manifest, want):
    assert parse(json.dumps(manifest).encode()) == want


def test_purl_of_a_scoped_package():
    (package,) = parse(b'{"name": "@angular/core", "version": "17.0.0"}')
    assert package.purl == "pkg:npm/%40angular/core@17.0.0"


@pytest.mark.parametrize(
    ("path", "is_package"),
    [
        ("node_modules/a/package.json", True),
        ("usr/lib/node_modules/npm/node_modules/@npmcli/arborist/package.json", True),
        ("app/node_modules/.pnpm/a@1.0.0/node_modules/a/package.json", True),
        ("app/node_modules/test/package.json", True),
        ("app/node_modules/@x/test/node_modules/a/package.json", True),
        ("app/node_modules/test/node_modules/a/package.json", True),
        ("test/app/node_modules/a/package.json", True),
        ("app/node_modules/server/packages/api/node_modules/a/package.json", True),
        ("app/node_modules/a/test/node_modules/b/package.json", False),
        ("app/node_modules/@x/a/lib/__fixtures__/node_modules/b/package.json", False),
        ("app/node_modules/a/lib/package.json", False),
        ("app/node_modules/.a-Xy12/package.json", False),
        ("app/node_modules/@x/package.json", False),
        ("app/node_modules/.cache/a/package.json", False),
        ("app/package.json", False),
    ],
)
def test_which_directories_are_packages(path, is_package):
    assert parse(BODY, path) == ([npm("left-pad", "1.3.0", path=path)] if is_package else [])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"version": ' + b"9" * 5_000 + b"}"],
    ids=["empty", "cut_off", "not_utf8", "deep", "huge_number"],
)
def test_parse_rejects(body):
    with pytest.raises(MalformedFileError):
        parse(body)
