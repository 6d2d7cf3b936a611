"""Distributions and interpreters that get no security updates any more: findings of their own.

The dates come with the program, in ``end_of_life.toml``, with their sources and the day they were collected.

Source: https://endoflife.date/ names the same dates, product by product
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from scanner.decoding import convert
from scanner.model import Distribution, Finding, Kind, Package, Severity
from scanner.model.finding import fingerprint_of

DISTRIBUTION_RULE: Final = "lifecycle/end-of-life-distribution"
PROGRAM_RULE: Final = "lifecycle/end-of-life-program"
_DATA: Final = Path(__file__).with_name("end_of_life.toml")


class Product(msgspec.Struct, frozen=True):
    """One product and its releases."""

    name: str
    source: str
    releases: dict[str, date]
    """Release (``12``, ``3.19``) -> last day."""


class LifecycleData(msgspec.Struct, frozen=True):
    """What is known of ends."""

    collected: date
    distributions: dict[str, Product]
    """By ``ID`` of os-release."""
    programs: dict[str, Product]
    """By purl type and name."""


@cache
def lifecycle_data() -> LifecycleData:
    """Return the data that come with the program."""
    return convert(tomllib.loads(_DATA.read_text("utf-8")), LifecycleData, strict=False)


def ended(
    distribution: Distribution | None,
    packages: Iterable[Package],
    today: date,
    data: LifecycleData | None = None,
) -> Iterator[Finding]:
    """Yield a finding for the distribution and for each interpreter whose last day was before ``today``.

    Programs that the distribution installs are the distribution's to maintain, and count with it.
    """
    known = data or lifecycle_data()
    product = known.distributions.get(distribution.id) if distribution else None
    if distribution and product:
        last = _last_day(product, distribution.version)
        if last is not None and last < today:
            yield _of_distribution(distribution, product, last, known)
    for package in packages:
        found = known.programs.get(f"{package.purl_type}/{package.name}")
        if found is None or package.from_distribution or package.owner:
            continue
        last = _last_day(found, package.version)
        if last is not None and last < today:
            yield _of_program(package, found, last, known)


def is_known(distribution: Distribution, data: LifecycleData | None = None) -> bool:
    """Return whether the end of a distribution's release is known, passed or not."""
    product = (data or lifecycle_data()).distributions.get(distribution.id)
    return product is not None and _last_day(product, distribution.version) is not None


def _last_day(product: Product, version: str) -> date | None:
    """Return the last day of the release that a version belongs to: by two numbers, else by one."""
    numbers = version.removeprefix("v").removeprefix("go").split(".")
    for count in (2, 1):
        last = product.releases.get(".".join(numbers[:count]))
        if last is not None:
            return last
    return None


def _of_distribution(
    distribution: Distribution, product: Product, last: date, data: LifecycleData
) -> Finding:
    name = f"{product.name} {distribution.version}"
    return _finished(
        Finding(
            rule_id=DISTRIBUTION_RULE,
            kind=Kind.CONFIG,
            severity=Severity.HIGH,
            title=f"{name} gets no security updates since {last}",
            why="What is found in its packages from then on is not fixed, and often not even listed as a vulnerability.",
            remedy="Build on a release that is maintained.",
            path=distribution.path,
            evidence=_evidence(last, product, data),
            identity=f"{distribution.id} {distribution.version}",
        )
    )


def _of_program(package: Package, product: Product, last: date, data: LifecycleData) -> Finding:
    return _finished(
        Finding(
            rule_id=PROGRAM_RULE,
            kind=Kind.CONFIG,
            severity=Severity.MEDIUM,
            title=f"{product.name} {package.version} gets no security updates since {last}",
            why="Vulnerabilities found in it from then on are not fixed in this release.",
            remedy=f"Move to a release of {product.name} that is maintained, and rebuild.",
            path=package.path,
            package=package.purl,
            evidence=_evidence(last, product, data),
            layer=package.layer,
            layer_index=package.layer_index,
        )
    )


def _evidence(last: date, product: Product, data: LifecycleData) -> dict[str, str]:
    return {
        "ended_at": last.isoformat(),
        "source": product.source,
        "collected_at": data.collected.isoformat(),
    }


def _finished(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, fingerprint=fingerprint_of(finding))
