"""Every version scheme against the program that defines it: ten thousand pairs each, no disagreement."""

from __future__ import annotations

import random

import pytest
from support import version_references as reference
from support.advisory_lookup import versions_of
from support.version_pairs import pairs

from scanner.discovery import version_schemes

COUNT = 10_000
"""Pairs; twice as many are made, since a program refuses some."""

LENIENT = {"deb", "rpm", "golang", "composer", "conan"}
"""Their references compare what is no version, too."""

REAL = {
    "deb": "Debian", "rpm": "AlmaLinux", "pypi": "PyPI", "npm": "npm", "cargo": "crates.io", "golang": "Go", "gem": "RubyGems",
}  # fmt: skip
"""Whose advisories' versions are among them."""
PREFIX = {"golang": "v"}

REFERENCES = [
    ("deb", "deb", reference.dpkg_perl),
    ("rpm", "rpm", reference.rpm),
    ("pypi", "pypi", reference.packaging),
    ("npm", "npm", reference.node_semver),
    ("cargo", "cargo", reference.node_semver),
    ("hex", "hex", reference.node_semver),
    ("swift", "swift", reference.node_semver),
    ("golang", "golang", reference.go_semver),
    ("golang", "go_toolchain", reference.go_toolchain),
    ("gem", "gem", reference.rubygems),
    ("maven", "maven", reference.maven),
    ("conan", "conan", reference.conan),
    ("composer", "composer_normalised", reference.php),
]


def differences(scheme, asked, signs):
    """Return pairs that our order and the reference's put differently, and how many pairs both know.

    What a reference compares, but is no version, we need not know: rpm, PHP and Conan refuse nothing, others little.
    """
    key = version_schemes()[scheme].key
    wrong, known_count = [], 0
    for (left, right), sign in zip(asked, signs, strict=True):
        if sign is None:
            continue
        a, b = key(left), key(right)
        if a is None or b is None:
            if scheme not in LENIENT:
                wrong.append((left, right, "no version for us"))
            continue
        known_count += 1
        if (a > b) - (a < b) != sign:
            wrong.append((left, right, sign))
    return wrong, known_count


@pytest.mark.parametrize(
    ("scheme", "shape", "ask"), REFERENCES, ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_as_its_reference(scheme, shape, ask, tmp_path):
    asked = pairs(
        shape, COUNT * 2, [PREFIX.get(shape, "") + v for v in versions_of(REAL.get(shape, "-"))]
    )
    wrong, known_count = differences(scheme, asked, ask(asked, tmp_path))
    assert wrong[:20] == []
    assert known_count >= COUNT


def test_debian_as_dpkg_itself(tmp_path):
    asked = random.Random(1).sample(pairs("deb", COUNT), 300)
    wrong, known_count = differences("deb", asked, reference.dpkg(asked, tmp_path))
    assert wrong == []
    assert known_count >= 200
