"""What each publisher's file says, in its own shape; and files that say nothing that can be trusted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.feed_files import COMPRESSIONS, parse, tarred

from scanner import discovery
from scanner.errors import InputError, MalformedFileError
from scanner.model.advisory import (
    Advisory,
    Affected,
    AffectedRange,
    Enrichment,
    Event,
    EventKind,
    FixState,
    Score,
)
from scanner.ports.feed import Enriched, RefusedRecord

INTRODUCED = Event(EventKind.INTRODUCED, "0")


def before(*versions):
    return tuple(AffectedRange((INTRODUCED, Event(EventKind.FIXED, v))) for v in versions)


ALWAYS = (AffectedRange((INTRODUCED,)),)


# secdb

SECDB = {
    "distroversion": "v3.20",
    "reponame": "main",
    "archs": ["x86_64"],
    "urlprefix": "https://dl-cdn.alpinelinux.org/alpine",
    "apkurl": "{{urlprefix}}/{{distroversion}}/{{reponame}}/{{arch}}/{{pkg.name}}-{{pkg.ver}}.apk",
    "packages": [
        {
            "pkg": {
                "name": "zlib",
                "secfixes": {
                    "1.2.12-r2": ["CVE-2022-37434"],
                    "1.2.11-r4": ["CVE-2018-25032 GHSA-jc36-42cf-vqwj", "CVE-2022-37434"],
                    "0": ["CVE-2023-45853"],
                },
            }
        },
        {"pkg": {"name": "xen", "secfixes": {"4.12.1-r0": ["CVE-2019-17349 XSA-295 (+)"]}}},
        {"pkg": {"name": "nothing", "secfixes": {"1-r0": None}}},
    ],
}


def alpine(id_, name, ranges=(), state=None, *, ecosystem="Alpine:v3.20", prefix="ALPINE-"):
    affected = Affected(ecosystem=ecosystem, name=name, ranges=ranges, state=state)
    return Advisory(id=f"{prefix}{id_}", upstream=(id_,), affected=(affected,))


def test_alpine(tmp_path):
    assert parse(tmp_path, "alpine-secdb", json.dumps(SECDB).encode(), "Alpine:v3.20") == [
        alpine("CVE-2022-37434", "zlib", before("1.2.12-r2", "1.2.11-r4")),
        alpine("CVE-2018-25032", "zlib", before("1.2.11-r4")),
        alpine("GHSA-jc36-42cf-vqwj", "zlib", before("1.2.11-r4")),
        alpine("CVE-2023-45853", "zlib", state=FixState.NOT_AFFECTED),
        alpine("CVE-2019-17349", "xen", before("4.12.1-r0")),
        alpine("XSA-295", "xen", before("4.12.1-r0")),
    ]


@pytest.mark.parametrize(
    ("feed", "unit", "prefix"),
    [("wolfi-secdb", "Wolfi", "WOLFI-"), ("chainguard-secdb", "Chainguard", "CHAINGUARD-")],
)
def test_wolfi_and_chainguard(tmp_path, feed, unit, prefix):
    body = {
        "apkurl": "",
        "archs": ["x86_64"],
        "packages": [
            {"pkg": {"name": "go", "secfixes": {"1.21.4-r0": ["CVE-2023-45283", "not an id"]}}},
            {"pkg": {"name": "x", "secfixes": {"1-r0": ["unknown"]}}},
        ],
    }
    assert parse(tmp_path, feed, json.dumps(body).encode(), unit) == [
        RefusedRecord("file: go", "no id: 'not an id'"),
        alpine("CVE-2023-45283", "go", before("1.21.4-r0"), ecosystem=unit, prefix=prefix),
        RefusedRecord("file: x", "no id: 'unknown'"),
    ]


def test_what_is_asked_for(tmp_path):
    feeds = discovery.feeds()
    assert {
        (name, *feeds[name].files(unit))
        for name, unit in (
            ("alpine-secdb", "Alpine:v3.20"),
            ("debian-tracker", "Debian"),
            ("osv", "Rocky Linux"),
            ("wolfi-secdb", "Wolfi"),
        )
    } == {
        ("alpine-secdb", "v3.20/main.json", "v3.20/community.json"),
        ("debian-tracker", "tracker/data/json"),
        ("osv", "Rocky Linux/all.zip"),
        ("wolfi-secdb", "os/security.json"),
    }


# Debian


def release(status, fixed=None, urgency="not yet assigned", **more):
    found = {"status": status, "repositories": {"bookworm": "1.0-1"}, "urgency": urgency, **more}
    return found | ({"fixed_version": fixed} if fixed else {})


def debian(release_, ranges, state, rating="not yet assigned", name="openssl"):
    return Affected(
        ecosystem=f"Debian:{release_}", name=name, ranges=ranges, state=state, rating=rating
    )


TRACKER = {
    "openssl": {
        "CVE-2024-0001": {
            "description": "An issue.",
            "scope": "remote",
            "debianbug": 1,
            "releases": {
                "bookworm": release("resolved", "3.0.11-1~deb12u2", "high**"),
                "bullseye": release("open", nodsa="Minor issue", nodsa_reason=""),
                "buster": release("open", nodsa="old", nodsa_reason="ignored"),
                "trixie": release("resolved", "0"),
                "forky": release("undetermined"),
                "sid": release("resolved", "3.1.4-2", "unimportant"),
                "stretch": release("open", urgency="end-of-life"),
            },
        },
        "CVE-2024-0002": {"releases": {"bookworm": release("resolved", "0")}},
    },
    "mystery": {"TEMP-0000000-ABCDEF": {"releases": {"bookworm": release("open", urgency="low")}}},
    "broken": {"CVE-2024-0003": {"releases": {"bookworm": {"status": 7}}}},
}


def test_debian(tmp_path):
    items = parse(tmp_path, "debian-tracker", json.dumps(TRACKER).encode(), "Debian")
    assert items[:2] == [
        Advisory(
            id="DEBIAN-CVE-2024-0001",
            upstream=("CVE-2024-0001",),
            details="An issue.",
            affected=(
                debian("12", before("3.0.11-1~deb12u2"), FixState.FIXED, "high"),
                debian("11", ALWAYS, FixState.NOT_FIXED),
                debian("10", ALWAYS, FixState.WILL_NOT_FIX),
                debian("14", ALWAYS, FixState.UNDER_INVESTIGATION),
                debian("sid", before("3.1.4-2"), FixState.FIXED, "unimportant"),
                debian("9", ALWAYS, FixState.WILL_NOT_FIX, "end-of-life"),
            ),
        ),
        Advisory(
            id="TEMP-0000000-ABCDEF",
            affected=(debian("12", ALWAYS, FixState.NOT_FIXED, "low", "mystery"),),
        ),
    ]
    (refused,) = items[2:]
    assert refused.where == "file: broken"


# Red Hat


def branch(category, name, *branches, product=None):
    found = {"category": category, "name": name}
    return found | ({"product": product} if product else {"branches": list(branches)})


def product(id_, **helper):
    return {"product_id": id_, "name": id_, "product_identification_helper": helper}


def version(id_, purl):
    return branch("product_version", id_, product=product(id_, purl=purl))


def part(platform, package):
    return {
        "category": "default_component_of",
        "full_product_name": {"product_id": f"{platform}:{package}", "name": ""},
        "product_reference": package,
        "relates_to_product_reference": platform,
    }


VEX = {
    "document": {
        "category": "csaf_vex",
        "title": "openssl: an issue",
        "publisher": {"name": "Red Hat Product Security"},
        "tracking": {
            "id": "CVE-2024-0001",
            "status": "final",
            "current_release_date": "2024-03-01T00:00:00+00:00",
            "initial_release_date": "2024-02-01T00:00:00+00:00",
        },
    },
    "product_tree": {
        "branches": [
            branch(
                "vendor",
                "Red Hat",
                branch(
                    "product_family",
                    "Red Hat Enterprise Linux",
                    branch(
                        "product_name",
                        "AppStream",
                        product=product(
                            "AppStream-9", cpe="cpe:/a:redhat:enterprise_linux:9::appstream"
                        ),
                    ),
                    branch(
                        "product_name", "RHEL 8", product=product("rhel_8", cpe="cpe:/o:redhat:enterprise_linux:8")
                    ),
                    branch(
                        "product_name", "Other", product=product("other", cpe="cpe:/a:other:thing:1")
                    ),
                ),
                branch(
                    "architecture",
                    "x86_64",
                    version("openssl-1:3.0.7-25.el9_3.x86_64", "pkg:rpm/redhat/openssl@3.0.7-25.el9_3?arch=x86_64&epoch=1"),
                    version("nodejs-1:18.19.0-1.module.x86_64", "pkg:rpm/redhat/nodejs@18.19.0-1.module%2Bel9?arch=x86_64&epoch=1&rpmmod=nodejs:18:9020:abc"),
                ),
                branch(
                    "architecture",
                    "aarch64",
                    version("openssl-1:3.0.7-25.el9_3.aarch64", "pkg:rpm/redhat/openssl@3.0.7-25.el9_3?arch=aarch64&epoch=1"),
                    version("container", "pkg:oci/ubi9@sha256:abc"),
                ),
                version("nodejs:18:9020:def", "pkg:rpmmod/redhat/nodejs@18:9020:def"),
                version("npm-0:10.2.3-1.module.x86_64", "pkg:rpm/redhat/npm@10.2.3-1.module?arch=x86_64"),
                version("openssl", "pkg:rpm/redhat/openssl?arch=src"),
            ),
        ],
        "relationships": [
            part("AppStream-9", "openssl-1:3.0.7-25.el9_3.x86_64"),
            part("AppStream-9", "openssl-1:3.0.7-25.el9_3.aarch64"),
            part("AppStream-9", "nodejs-1:18.19.0-1.module.x86_64"),
            part("AppStream-9", "nodejs:18:9020:def"),
            part("AppStream-9:nodejs:18:9020:def", "npm-0:10.2.3-1.module.x86_64"),
            part("AppStream-9", "container"),
            part("rhel_8", "openssl"),
            part("rhel_8", "compat-openssl10"),
            part("rhel_8", "nodejs:16/nodejs"),
            part("other", "openssl"),
        ],
    },
    "vulnerabilities": [
        {
            "cve": "CVE-2024-0001",
            "title": "openssl: an issue",
            "notes": [{"category": "description", "text": "It is bad."}],
            "scores": [
                {
                    "cvss_v3": {"baseScore": 7.5, "vectorString": "CVSS:3.1/AV:N"},
                    "products": ["AppStream-9:openssl-1:3.0.7-25.el9_3.x86_64", "rhel_8:openssl"],
                }
            ],
            "threats": [
                {
                    "category": "impact",
                    "details": "Important",
                    "product_ids": ["AppStream-9:openssl-1:3.0.7-25.el9_3.x86_64"],
                },
                {"category": "impact", "details": "Low", "product_ids": ["rhel_8:openssl"]},
            ],
            "product_status": {
                "fixed": [
                    "AppStream-9:openssl-1:3.0.7-25.el9_3.x86_64",
                    "AppStream-9:openssl-1:3.0.7-25.el9_3.aarch64",
                    "AppStream-9:nodejs-1:18.19.0-1.module.x86_64",
                    "AppStream-9:nodejs:18:9020:def:npm-0:10.2.3-1.module.x86_64",
                    "AppStream-9:container",
                    "nowhere:nothing",
                ],
                "known_affected": [
                    "rhel_8:openssl",
                    "rhel_8:compat-openssl10",
                    "rhel_8:nodejs:16/nodejs",
                    "other:openssl",
                ],
                "known_not_affected": ["AppStream-9:openssl-1:3.0.7-25.el9_3.x86_64"],
            },
            "remediations": [
                {"category": "no_fix_planned", "product_ids": ["rhel_8:compat-openssl10"]},
                {"category": "none_available", "product_ids": ["rhel_8:openssl"]},
            ],
        }
    ],
}  # fmt: skip


def redhat(cpe, name, ranges, state, **more):
    return Affected(ecosystem=f"Red Hat:{cpe}", name=name, ranges=ranges, state=state, **more)


def test_red_hat(tmp_path):
    appstream = "enterprise_linux:9::appstream"
    rhel = "enterprise_linux:8"
    vector = (Score("CVSS_V3", "CVSS:3.1/AV:N"),)
    content = COMPRESSIONS["zstd"](tarred({"2024/cve-2024-0001.json": json.dumps(VEX).encode(), "2024/x.json": b"{}"}))  # fmt: skip
    found, refused = parse(tmp_path, "redhat-vex", content, "Red Hat")
    assert found == Advisory(
        id="RHVEX-CVE-2024-0001",
        upstream=("CVE-2024-0001",),
        modified="2024-03-01T00:00:00+00:00",
        published="2024-02-01T00:00:00+00:00",
        summary="openssl: an issue",
        details="It is bad.",
        affected=(
            redhat(
                appstream,
                "openssl",
                before("1:3.0.7-25.el9_3"),
                FixState.FIXED,
                rating="Important",
                scores=vector,
            ),
            redhat(
                appstream,
                "nodejs",
                before("1:18.19.0-1.module+el9"),
                FixState.FIXED,
                streams=("nodejs:18",),
            ),
            redhat(
                appstream, "npm", before("10.2.3-1.module"), FixState.FIXED, streams=("nodejs:18",)
            ),
            redhat(rhel, "openssl", ALWAYS, FixState.NOT_FIXED, rating="Low", scores=vector),
            redhat(rhel, "compat-openssl10", ALWAYS, FixState.WILL_NOT_FIX),
            redhat(rhel, "nodejs", ALWAYS, FixState.NOT_FIXED, streams=("nodejs:16",)),
        ),
    )
    assert refused.where == "2024/x.json"


def test_products_that_are_part_of_themselves(tmp_path):
    body = json.loads(json.dumps(VEX))
    body["product_tree"]["relationships"] = [part("a", "b"), part("a:b", "a:b")]
    body["vulnerabilities"][0]["product_status"] = {"fixed": ["a:b", "a:b:a:b"]}
    content = tarred({"x.json": json.dumps(body).encode()})
    assert parse(tmp_path, "redhat-vex", content, "Red Hat") == []


# Enrichments


def test_kev(tmp_path):
    body = {
        "title": "CISA Catalog of Known Exploited Vulnerabilities",
        "count": 1,
        "vulnerabilities": [{"cveID": "CVE-2021-44228", "knownRansomwareCampaignUse": "Known"}],
    }
    assert parse(tmp_path, "kev", json.dumps(body).encode(), "kev") == [
        Enriched("CVE-2021-44228", Enrichment(known_exploited=True))
    ]
    with pytest.raises(MalformedFileError, match="as many"):
        parse(tmp_path, "kev", json.dumps({**body, "count": 2}).encode(), "kev")


EPSS = b"""#model_version:v2025.03.14,score_date:2026-01-02T00:00:00+0000
cve,epss,percentile
CVE-2021-44228,0.94455,0.99999
CVE-1999-0001,1.5,0.1
nonsense
"""


def test_epss(tmp_path):
    assert parse(tmp_path, "epss", gzip.compress(EPSS), "epss") == [
        Enriched("CVE-2021-44228", Enrichment(exploit_probability=0.94455)),
        RefusedRecord("file:4", "not an id and a probability"),
        RefusedRecord("file:5", "not an id and a probability"),
    ]
    for bad in (b"", b"<html>", b"#only a comment\n", b"CVE-2021-44228,0.9,0.9\n"):
        with pytest.raises(MalformedFileError):
            parse(tmp_path, "epss", bad, "epss")


# Every feed, hostile files

HOSTILE = {
    "empty": b"",
    "nul": b"\0" * 1000,
    "html": b"<!DOCTYPE html><html>",
    "array": b"[]",
    "number": b"7",
    "deep": b"[" * 200_000,
    "deep_objects": b'{"a":' * 200_000,
    "deep_in_packages": b'{"packages":' + b"[" * 200_000,
    "wrong_types": b'{"packages": 7, "vulnerabilities": 7, "x": 7}',
    "bad_utf8": b'{"x": "\xff"}',
    "cut": b'{"packages": [{"pkg": {"name": "zl',
    "truncated_gzip": gzip.compress(EPSS)[:20],
    "zip_of_nothing": b"PK\x05\x06" + bytes(18),
    "long_line": b"x" * 2_000_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("feed", discovery.feeds())
def test_hostile_files_give_nothing_and_raise_input_errors_only(tmp_path, feed, body):
    try:
        items = parse(tmp_path, feed, body, "Alpine:v3.20")
    except InputError:
        return
    assert not [i for i in items if not isinstance(i, RefusedRecord)]


@pytest.mark.parametrize("feed", discovery.feeds().values(), ids=lambda f: f.name)
def test_every_feed_says_who_it_is_from(feed):
    page = (Path(__file__).resolve().parents[2] / "docs/advisories.md").read_text()
    assert f"| `{feed.name}` |" in page
    assert feed.licence
    assert feed.attribution
    assert feed.url.startswith("https://")
