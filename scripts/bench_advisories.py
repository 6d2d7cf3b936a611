"""How long the databases of the largest ecosystems take to build from full exports, how large they are, how fast they answer.

The exports are generated in the sizes of today's: npm's with its many short records of malicious packages, Debian's
tracker with few packages of many vulnerabilities, AlmaLinux's with many packages in each record.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from scanner import discovery
from scanner.advisories.database import AdvisoryDatabases
from scanner.advisories.local_source import SingleFileSource
from scanner.advisories.update import UpdateOptions, update_unit

_WORDS = [
    "allows",
    "remote",
    "attackers",
    "to",
    "execute",
    "arbitrary",
    "code",
    "via",
    "a",
    "crafted",
    "request",
    "denial",
    "of",
    "service",
    "memory",
    "corruption",
    "in",
    "the",
    "parser",
    "of",
    "the",
    "component",
    "before",
    "version",
    "overflow",
    "improper",
    "validation",
    "of",
    "input",
    "package",
    "was",
    "found",
    "to",
    "contain",
    "malicious",
    "code",
    "that",
    "sends",
    "environment",
    "variables",
    "credentials",
    "to",
    "a",
    "host",
    "at",
    "install",
]
_VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"


class Export(NamedTuple):
    """One export to build from."""

    unit: str
    feed: str
    write: Callable[[Path, int], None]
    count: int


def _text(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_WORDS, k=count))


def _write_npm(path: Path, count: int) -> None:
    """Nine of ten records are of malicious packages, as in the real one."""
    rng = random.Random(1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(count):
            is_malicious = number % 10 != 0
            record = _malicious(number, rng) if is_malicious else _reviewed(number, rng)
            archive.writestr(f"{record['id']}.json", json.dumps(record))


def _malicious(number: int, rng: random.Random) -> dict[str, object]:
    digest = f"{rng.getrandbits(256):064x}"
    return {
        "schema_version": "1.7.5",
        "id": f"MAL-2025-{number}",
        "modified": f"2025-{number % 12 + 1:02}-03T10:11:12Z",
        "published": "2025-02-03T10:11:12Z",
        "summary": f"Malicious code in package-{number} (npm)",
        "details": f"---\n_-= Per source details. Do not edit below this line.=-_\n\n## Source: ossf ({digest})\n{_text(rng, 45)}",
        "affected": [
            {
                "package": {"ecosystem": "npm", "name": f"package-{number}", "purl": f"pkg:npm/package-{number}"},
                "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
                "versions": [f"{number % 9}.0.{n}" for n in range(number % 4)],
                "database_specific": {"cwes": [{"cweId": "CWE-506", "name": "Embedded Malicious Code", "description": _text(rng, 20)}]},
            }
        ],
        "references": [{"type": "WEB", "url": f"https://example.com/{digest}"}],
        "database_specific": {"malicious-packages-origins": [{"id": f"RLMA-{number}", "sha256": digest, "source": "example", "import_time": "2025-02-03T10:11:12Z"}]},
        "credits": [{"name": "Somebody", "type": "FINDER", "contact": ["https://example.com"]}],
    }  # fmt: skip


def _reviewed(number: int, rng: random.Random) -> dict[str, object]:
    ends = [{"fixed": f"{n + 1}.{number % 30}.{number % 7}"} for n in range(number % 3 + 1)]
    return {
        "schema_version": "1.7.5",
        "id": f"GHSA-{number % 9999:04}-{number % 8888:04}-{number % 7777:04}-{number}",
        "modified": "2024-12-03T10:11:12Z",
        "published": "2021-02-03T10:11:12Z",
        "aliases": [f"CVE-2021-{number}"],
        "summary": _text(rng, 8),
        "details": _text(rng, 160),
        "severity": [{"type": "CVSS_V3", "score": _VECTOR}],
        "affected": [
            {
                "package": {"ecosystem": "npm", "name": f"library-{number // 40}"},
                "ranges": [{"type": "SEMVER", "events": [{"introduced": f"{n}.0.0"}, end]} for n, end in enumerate(ends)],
            }
        ],
        "references": [{"type": "WEB", "url": f"https://example.com/{number}/{n}"} for n in range(6)],
        "database_specific": {"cwe_ids": ["CWE-79"], "severity": "HIGH", "github_reviewed": True},
    }  # fmt: skip


def _write_debian(path: Path, count: int) -> None:
    """Each vulnerability has five releases; a kernel has a quarter of all."""
    rng = random.Random(2)
    releases = ("bullseye", "bookworm", "trixie", "forky", "sid")
    document: dict[str, dict[str, object]] = {}
    for number in range(count):
        package = "linux" if number % 4 == 0 else f"source-{int(rng.paretovariate(0.6)) % 4_000}"
        found = {
            codename: {
                "status": "open" if (number + n) % 6 == 0 else "resolved",
                "repositories": {codename: f"{n}.1-1", f"{codename}-security": f"{n}.1-1+deb{n}u1"},
                "fixed_version": f"{n + 1}.{number % 50}-1+deb{n}u{number % 9 + 1}",
                "urgency": "not yet assigned",
            }
            for n, codename in enumerate(releases)
        }
        document.setdefault(package, {})[f"CVE-2025-{number}"] = {
            "description": _text(rng, 40),
            "scope": "local",
            "releases": found,
        }
    path.write_text(json.dumps(document))


def _write_alma(path: Path, count: int) -> None:
    rng = random.Random(3)
    with path.open("w") as file:
        for number in range(count):
            names = [
                f"{rng.choice(_WORDS)}-{rng.randint(0, 300)}" for _ in range(rng.randint(5, 60))
            ]
            record = {
                "id": f"ALSA-2025:{number}",
                "modified": "2025-02-03T10:11:12Z",
                "summary": f"Important: {names[0]} security update",
                "details": _text(rng, 150),
                "related": [f"CVE-2025-{number}"],
                "affected": [
                    {
                        "package": {"ecosystem": f"AlmaLinux:{number % 3 + 8}", "name": name},
                        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": f"1.{number}-1.el9"}]}],
                    }
                    for name in set(names)
                ],
            }  # fmt: skip
            file.write(json.dumps(record) + "\n")


EXPORTS = {
    "npm": Export("npm", "osv", _write_npm, 250_000),
    "debian": Export("Debian", "debian-tracker", _write_debian, 50_000),
    "almalinux": Export("AlmaLinux", "osv", _write_alma, 6_000),
}


def build(name: str, file: Path, directory: Path) -> None:
    """Build one database; a process of its own, so that its memory can be measured."""
    export = EXPORTS[name]
    source = SingleFileSource(file)
    update_unit(export.unit, discovery.feeds()[export.feed], source, UpdateOptions(directory=directory))  # fmt: skip


def ask(directory: Path, say: Callable[[str], None]) -> None:
    """Print how long 1,000 lookups take, of packages that are there and of some that are not."""
    began = time.perf_counter()
    with AdvisoryDatabases(directory) as databases:
        say(f"  opened in {(time.perf_counter() - began) * 1000:.1f} ms")
        for unit in databases.units.values():
            names = [(e, n) for e, n, _ in unit.hashes()]
            chosen = random.Random(4).choices(names, k=900)
            _time(f"1,000 lookups, {unit.about.unit}", databases, [*chosen, *[(names[0][0], f"none-{n}") for n in range(100)]], say)  # fmt: skip
        _time("the kernel alone", databases, [("Debian:12", "linux")], say)


def _time(
    name: str,
    databases: AdvisoryDatabases,
    names: list[tuple[str, str]],
    say: Callable[[str], None],
) -> None:
    seconds, count = [], 0
    for _ in range(5):
        began = time.process_time()
        count = sum(len(databases.advisories_of(*one)) for one in names)
        seconds.append(time.process_time() - began)
    say(f"  {name:<34} {statistics.median(seconds) * 1000:7.1f} ms  {count:,} advisories")


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
