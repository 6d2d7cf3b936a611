"""How long matching an image takes, advisories read from databases on disk."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scanner.advisories.database import About, AdvisoryDatabases, unit_path
from scanner.advisories.database_build import build_database
from scanner.advisories.matcher import match
from scanner.advisories.ranges import key_of
from scanner.model import (
    Advisory,
    Affected,
    AffectedRange,
    Distribution,
    Enrichment,
    Event,
    EventKind,
    Package,
    Score,
)
from scanner.ports.feed import Enriched

_DEBIAN = Distribution(id="debian", version="12")
_VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"
_OTHERS = ((300, "npm", "npm"), (200, "pypi", "PyPI"), (100, "golang", "Go"))


def bench_matching(work: Path, say: Callable[[str], None]) -> None:
    """Print the median of repeated matches, and of the first one, whose versions nobody has parsed."""
    rng = random.Random(5)
    sources = [(f"source{n}", 3_000 if n == 0 else _tail(rng)) for n in range(3_000)]
    names = {eco: [(f"{kind}-{n}", _few(rng)) for n in range(2_000)] for _, kind, eco in _OTHERS}
    _build(work, "Debian", _advisories("Debian:12", sources, rng, "2.{}-1+deb12u1"))
    for _, _, ecosystem in _OTHERS:
        _build(work, ecosystem, _advisories(ecosystem, names[ecosystem], rng, "1.{}.3"))
    epss = (Enriched(f"CVE-2026-{n}", Enrichment(exploit_probability=0.01)) for n in range(10_000, 60_000))  # fmt: skip
    _build(work, "epss", epss)
    packages = [*_installed(rng), *_declared(names, rng)]
    with AdvisoryDatabases(work) as lookup:
        seconds = []
        for turn in range(9):
            if turn == 0:
                key_of.cache_clear()
            began = time.process_time()
            matched = match(packages, _DEBIAN, lookup)
            seconds.append(time.process_time() - began)
        asked = sum(count for _, count in sources[:250])
        say(
            f"{len(packages):,} packages of 4 ecosystems, about {asked:,} advisories of the distribution"
        )
        say(f"  {len(matched.findings):,} findings, {len(matched.coverage.issues)} issues")
        say(f"  first match           {seconds[0] * 1000:7.1f} ms")
        say(f"  later ones, median    {statistics.median(seconds[1:]) * 1000:7.1f} ms")


def _tail(rng: random.Random) -> int:
    """Most sources have few advisories, some have hundreds."""
    return min(int(rng.paretovariate(0.9) * 3), 400)


def _few(rng: random.Random) -> int:
    """One in five packages of an ecosystem that images have has advisories at all."""
    return rng.randint(1, 10) if rng.random() < 0.2 else 0


def _installed(rng: random.Random) -> Iterator[Package]:
    """Yield 400 packages of 250 sources, the largest among them, nearly all of them up to date."""
    for n in range(400):
        version = f"2.{1_000 if rng.random() < 0.95 else rng.randint(0, 900)}-1+deb12u1"
        yield Package(
            purl_type="deb", namespace="debian", name=f"binary{n}", version=version, path="var/lib/dpkg/status",
            source_name=f"source{n % 250}", source_version=version, from_distribution=True,
        )  # fmt: skip


def _declared(names: dict[str, list[tuple[str, int]]], rng: random.Random) -> Iterator[Package]:
    for count, kind, ecosystem in _OTHERS:
        for name, _ in rng.sample(names[ecosystem], count):
            yield Package(
                purl_type=kind, name=name, version=f"1.{rng.randint(0, 1_000)}.0", path="app"
            )


def _advisories(
    ecosystem: str, sources: list[tuple[str, int]], rng: random.Random, version: str
) -> Iterator[Advisory]:
    for name, count in sources:
        for _ in range(count):
            id_ = f"CVE-2026-{rng.randint(10_000, 60_000)}"
            fixed = Event(EventKind.FIXED, version.format(rng.randint(0, 900)))
            affected = Affected(
                ecosystem=ecosystem,
                name=name,
                ranges=(AffectedRange((Event(EventKind.INTRODUCED, "0"), fixed)),),
                rating=rng.choice(("low", "medium", "high", "")),
            )
            yield Advisory(
                id=f"X-{id_}",
                modified="2026-01-02T00:00:00Z",
                published="2026-01-01T00:00:00Z",
                upstream=(id_,),
                summary="something that can be made to do what it should not",
                details="a text of usual length, " * 12,
                scores=(Score("CVSS_V3", _VECTOR),),
                affected=(affected,),
            )


def _build(work: Path, unit: str, items: Iterator[Advisory] | Iterator[Enriched]) -> None:
    about = About(unit=unit, feed="made", source="made", licence="-", attribution="-", fetched_at="2026-01-02T00:00:00Z")  # fmt: skip
    build_database(unit_path(work, unit), items, about)
