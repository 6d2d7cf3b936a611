"""Ends of life: dates with their sources, compared with the day that is asked about."""

from __future__ import annotations

from datetime import date

import pytest

from scanner.advisories.lifecycle import ended, is_known, lifecycle_data
from scanner.model import Distribution, Kind, Package


def program(purl_type, name, version, **more):
    return Package(purl_type=purl_type, name=name, version=version, path="opt/x/release", **more)


@pytest.mark.parametrize(
    ("id_", "version", "today", "last"),
    [
        ("debian", "10", date(2024, 7, 1), "2024-06-30"),
        ("debian", "10", date(2024, 6, 30), None),
        ("alpine", "3.10.9", date(2025, 1, 1), "2021-05-01"),
        ("alpine", "edge", date(2025, 1, 1), None),
        ("ubuntu", "18.04", date(2025, 1, 1), "2023-05-31"),
        ("centos", "7", date(2025, 1, 1), "2024-06-30"),
        ("rhel", "9.4", date(2025, 1, 1), None),
        ("wolfi", "", date(2025, 1, 1), None),
        ("debian", "99", date(2099, 1, 1), None),
    ],
)
def test_distribution(id_, version, today, last):
    distribution = Distribution(id=id_, version=version, path="etc/os-release")
    found = list(ended(distribution, [], today))
    assert [f.evidence["ended_at"] for f in found] == ([last] if last else [])
    assert all(f.kind is Kind.CONFIG and f.fingerprint and f.path for f in found)


@pytest.mark.parametrize(
    ("package", "is_over"),
    [
        pytest.param(program("golang", "stdlib", "1.20.14"), True, id="go"),
        pytest.param(program("golang", "stdlib", "1.22rc1"), False, id="go_candidate"),
        pytest.param(program("generic", "openjdk", "19.0.2"), True, id="java"),
        pytest.param(program("generic", "openjdk", "17.0.2"), False, id="java_maintained_by_many"),
        pytest.param(program("generic", "node", "v16.20.2"), True, id="node"),
        pytest.param(program("generic", "python", "3.12.1"), False, id="python"),
        pytest.param(program("generic", "ruby", "2.7.8", owner="pkg:deb/debian/ruby@2.7"), False, id="owned"),
        pytest.param(program("deb", "node", "16", from_distribution=True), False, id="distribution's"),
        pytest.param(program("generic", "node", ""), False, id="no_version"),
    ],
)  # fmt: skip
def test_program(package, is_over):
    assert bool(list(ended(None, [package], date(2025, 6, 1)))) == is_over


def test_every_product_names_its_source():
    data = lifecycle_data()
    products = [*data.distributions.values(), *data.programs.values()]
    assert all(p.source.startswith("https://") and p.releases for p in products)


def test_what_is_known():
    assert is_known(Distribution(id="debian", version="12"))
    assert not is_known(Distribution(id="kali", version="2024.1"))
