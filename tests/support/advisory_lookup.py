"""Advisories in memory, looked up as in a database; and the records of ``tests/fixtures/advisories``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

from scanner.advisories.names import normalised_name
from scanner.advisories.osv import parse_osv
from scanner.model import Advisory, Enrichment

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "advisories"


class MemoryLookup:
    """An ``AdvisoryLookup`` over a list."""

    def __init__(
        self,
        advisories: Iterable[Advisory],
        *,
        ecosystems: Iterable[str] = (),
        enrichments: Mapping[str, Enrichment] | None = None,
    ) -> None:
        self._found: dict[tuple[str, str], dict[str, Advisory]] = {}
        self._ecosystems = dict.fromkeys(ecosystems)
        self._enrichments = enrichments or {}
        for advisory in advisories:
            for one in advisory.affected:
                self._ecosystems[one.ecosystem] = None
                key = one.ecosystem, normalised_name(one.ecosystem, one.name)
                self._found.setdefault(key, {})[advisory.id] = advisory

    def ecosystems(self) -> Collection[str]:
        return self._ecosystems.keys()

    def advisories_of(self, ecosystem: str, name: str) -> Iterable[Advisory]:
        return self._found.get((ecosystem, name), {}).values()

    def enrichment_of(self, vulnerability: str) -> Enrichment:
        return self._enrichments.get(vulnerability, Enrichment())


def osv(id_: str, *affected: dict, **more: object) -> Advisory:
    """Return a record as its JSON would be read."""
    record = {"id": id_, "modified": "2026-01-02T00:00:00Z", "affected": list(affected), **more}
    return parse_osv(json.dumps(record).encode(), id_)


def affects(ecosystem: str, name: str, *events: dict[str, str], **more: object) -> dict:
    """Return an ``affected`` with one range of these events."""
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **more}


def before(version: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the events of "everything before"."""
    return {"introduced": "0"}, {"fixed": version}


def records(name: str) -> list[Advisory]:
    """Return the records of one fixture."""
    lines = (FIXTURES / f"{name}.jsonl").read_bytes().splitlines()
    return [parse_osv(line, name) for line in lines]


@cache
def real_lookup() -> MemoryLookup:
    """Return all fixtures, with what is known to be exploited."""
    advisories = [a for path in sorted(FIXTURES.glob("*.jsonl")) for a in records(path.stem)]
    catalogue = json.loads((FIXTURES / "kev.json").read_bytes())["vulnerabilities"]
    exploited = {one["cveID"]: Enrichment(known_exploited=True) for one in catalogue}
    return MemoryLookup(advisories, enrichments=exploited)


def versions_of(ecosystem: str) -> list[str]:
    """Return every version that the records name for an ecosystem, without release."""
    found = {
        version
        for path in sorted(FIXTURES.glob("*.jsonl"))
        for advisory in records(path.stem)
        for one in advisory.affected
        if one.ecosystem.partition(":")[0] == ecosystem
        for version in (*one.versions, *(e.version for r in one.ranges for e in r.events))
    }
    return sorted(found)
