"""The same answers by other means: raw records, the distribution's own program for the versions, none of our matcher."""

from __future__ import annotations

import json
import random
import re

import pytest
from support import version_references as reference
from support.advisory_lookup import FIXTURES, real_lookup, versions_of

from scanner.advisories.matcher import match
from scanner.advisories.names import normalised_name
from scanner.model import Distribution, Package

CASES = {
    "debian": ("Debian:11", "deb", "deb", Distribution(id="debian", version="11"), reference.dpkg_perl),
    "almalinux": ("AlmaLinux:9", "rpm", "rpm", Distribution(id="almalinux", version="9"), reference.rpm),
    "pypi": ("PyPI", "pypi", "pypi", None, reference.packaging),
    "rubygems": ("RubyGems", "gem", "gem", None, reference.rubygems),
    "npm": ("npm", "npm", "npm", None, reference.node_semver),
    "crates": ("crates.io", "cargo", "cargo", None, reference.node_semver),
}  # fmt: skip


@pytest.mark.parametrize(("fixture", "case"), CASES.items(), ids=CASES)
def test_twice(fixture, case, tmp_path):
    ecosystem, purl_type, _, distribution, ask = case
    raw = [
        json.loads(line)
        for path in sorted(FIXTURES.glob(f"{fixture}*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    stated = _stated(raw, ecosystem)
    versions = sorted(
        {
            re.sub(r"(\.el\d+)_\d+[.\d]*", r"\1", v)  # of no minor release, see the table of cases
            for v in versions_of(ecosystem.partition(":")[0])
            if v != "0" and ".module" not in v
        }
    )
    rng = random.Random(fixture)
    asked = [(name, rng.choice(versions)) for name in sorted(stated) for _ in range(12)]
    bounds = sorted(
        {b for ranges in stated.values() for _, events in ranges for _, b in events if b != "0"}
    )
    order = _order(ask, sorted({v for _, v in asked}), bounds, tmp_path)
    compared_count = 0
    for name, version in asked:
        about = {b for _, events in stated[name] for _, b in events if b != "0"}
        if any(order[version, b] is None for b in about):
            continue
        compared_count += 1
        want = {id_ for id_, events in stated[name] if _holds(events, version, order)}
        assert _ours(name, version, purl_type, distribution) == want, (name, version)
    assert compared_count > len(asked) // 2


def _stated(raw, ecosystem):
    """Return name -> (id, events) of each range; modules and withdrawn records aside."""
    found = {}
    for record in raw:
        if record.get("withdrawn"):
            continue
        for one in record["affected"]:
            if one["package"]["ecosystem"] != ecosystem:
                continue
            for each in one["ranges"]:
                events = [next(iter(e.items())) for e in each["events"]]
                if each["type"] != "GIT" and not any(".module" in v for _, v in events):
                    name = normalised_name(ecosystem, one["package"]["name"])
                    found.setdefault(name, []).append((record["id"], events))
    return found


def _order(ask, versions, bounds, work):
    pairs = [(version, bound) for version in versions for bound in bounds]
    return dict(zip(pairs, ask(pairs, work), strict=True))


def _holds(events, version, order):
    """Count the starts and ends before a version: as many ends as starts leave it outside."""
    inside = 0
    for kind, bound in events:
        sign = 1 if bound == "0" else order[version, bound]
        if kind == "introduced":
            inside += sign >= 0
        elif kind == "fixed":
            inside -= sign >= 0
        else:
            inside -= sign > 0
    return inside > 0


def _ours(name, version, purl_type, distribution):
    """Return the records that our matcher says affect a package."""
    epoch, colon, rest = version.partition(":")
    is_rpm = purl_type == "rpm" and colon
    package = Package(
        purl_type=purl_type, name=name, version=rest if is_rpm else version, path="x",
        qualifiers={"epoch": epoch} if is_rpm else {}, from_distribution=distribution is not None,
    )  # fmt: skip
    findings = match([package], distribution, real_lookup()).findings
    return {id_ for finding in findings for id_ in finding.evidence["advisories"].split()}
