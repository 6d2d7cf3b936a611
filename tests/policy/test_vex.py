"""OpenVEX: what waives, what a product is, the newest statement wins, and documents that are wrong."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from support.policies import DIGEST, NOW, policy, subject, vulnerability

from scanner.errors import SettingsError
from scanner.model import Decision
from scanner.policy.evaluate import evaluate
from scanner.policy.vex import parse_vex

RULES = "rules:\n  - {name: r, action: deny, match: {kind: vulnerability}}\n"
OCI = f"pkg:oci/web@{DIGEST.replace(':', '%3A')}?repository_url=registry.example/shop/web"
OTHER = DIGEST[:-4] + "0000"


def statement(**more: Any) -> dict[str, Any]:
    return {
        "vulnerability": {"name": "CVE-2026-1"},
        "products": [{"@id": OCI}],
        "status": "not_affected",
        "justification": "component_not_present",
    } | more


def document(*statements: Any, **more: Any) -> bytes:
    return json.dumps(
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": "https://shop.example/vex/1",
            "author": "Shop",
            "timestamp": "2026-05-01T00:00:00Z",
            "version": 1,
            "statements": list(statements),
        }
        | more
    ).encode()


def verdict(*documents: bytes, **facts: Any):
    statements = [s for raw in documents for s in parse_vex(raw, "vex.json")]
    found = vulnerability(evidence={"aliases": "GHSA-aaaa"})
    return evaluate(policy(RULES, statements), subject(found, **facts), NOW)


def test_what_it_waives_is_told():
    waived = verdict(document(statement(impact_statement="never loaded"))).waived
    assert [(w.by, w.owner, w.reason, w.expires) for w in waived] == [
        ("vex", "Shop", "not_affected: component_not_present: never loaded", "")
    ]


def product(**of: Any) -> dict[str, Any]:
    return statement(products=[of])


DEB = "pkg:deb/debian/openssl"
CASES = {
    "not_affected": (statement(), True),
    "fixed": (statement(status="fixed"), True),
    "affected": (statement(status="affected", action_statement="update"), False),
    "under_investigation": (statement(status="under_investigation"), False),
    "alias": (statement(vulnerability={"name": "X-1", "aliases": ["GHSA-AAAA"]}), True),
    "other_vulnerability": (statement(vulnerability={"name": "CVE-2026-2"}), False),
    "old_form": (statement(vulnerability="CVE-2026-1", products=[OCI]), True),
    "in_the_future": (statement(timestamp="2026-06-02T00:00:00Z"), False),
    "no_product": (statement(products=[]), False),
    "other_digest": (product(**{"@id": OCI.replace(DIGEST[7:], OTHER[7:])}), False),
    "any_digest_of_the_repository": (product(**{"@id": "pkg:oci/web?repository_url=registry.example/shop/web"}), True),
    "repository_url_without_name": (product(**{"@id": "pkg:oci/web?repository_url=registry.example/shop"}), True),
    "other_repository": (product(**{"@id": "pkg:oci/web?repository_url=registry.example/lab/web"}), False),
    "a_name_alone_is_nobody": (product(**{"@id": "pkg:oci/web"}), False),
    "purl_identifier": (product(**{"@id": "https://shop.example/web", "identifiers": {"purl": OCI}}), True),
    "hash": (product(**{"@id": "https://shop.example/web", "hashes": {"sha-256": DIGEST[7:]}}), True),
    "other_hash": (product(**{"@id": "https://shop.example/web", "hashes": {"sha-256": OTHER[7:]}}), False),
    "iri": (product(**{"@id": "https://shop.example/web"}), False),
    "reference": (product(**{"@id": f"registry.example/shop/web@{DIGEST}"}), True),
    "subcomponent": (product(**{"@id": OCI, "subcomponents": [{"@id": f"{DEB}@3.0.1-1"}]}), True),
    "subcomponent_of_any_version": (product(**{"@id": OCI, "subcomponents": [DEB]}), True),
    "other_version": (product(**{"@id": OCI, "subcomponents": [{"@id": f"{DEB}@3.0.1-2"}]}), False),
    "other_architecture": (product(**{"@id": OCI, "subcomponents": [{"@id": f"{DEB}@3.0.1-1?arch=arm64"}]}), False),
    "same_architecture": (product(**{"@id": OCI, "subcomponents": [{"identifiers": {"purl": f"{DEB}@3.0.1-1?arch=amd64"}}]}), True),
    "unknown_subcomponent": (product(**{"@id": OCI, "subcomponents": [{"identifiers": {"cpe23": "cpe:2.3:x"}}]}), False),
    "package": (product(**{"@id": f"{DEB}@3.0.1-1"}), True),
    "other_package": (product(**{"@id": "pkg:deb/debian/openssl-dev"}), False),
}  # fmt: skip


@pytest.mark.parametrize(("one", "want"), CASES.values(), ids=CASES)
def test_statement(one, want):
    assert (verdict(document(one)).decision is Decision.ALLOW) is want


def test_the_newest_statement_wins():
    waives = statement(timestamp="2026-05-02T00:00:00Z")
    affected = statement(status="affected", timestamp="2026-05-03T00:00:00+02:00")
    newer = statement(status="fixed", timestamp="2026-05-04T00:00:00Z")
    assert verdict(document(waives, affected)).decision is Decision.DENY
    assert verdict(document(affected, waives)).decision is Decision.DENY
    assert verdict(document(affected), document(newer, waives)).decision is Decision.ALLOW


def test_of_the_same_moment_the_later_one_wins():
    first, second = document(statement()), document(statement(status="affected"))
    assert verdict(first, second).decision is Decision.DENY
    assert verdict(second, first).decision is Decision.ALLOW


def test_a_waiver_goes_before_and_outlives_nothing():
    body = RULES + "waivers:\n  - {id: CVE-2026-1, reason: ours, owner: me, expires: 2026-06-30}\n"
    made = policy(body, list(parse_vex(document(statement()), "v")))
    judged = subject(vulnerability())
    assert [w.by for w in evaluate(made, judged, NOW).waived] == ["waiver"]
    later = NOW + timedelta(days=60)
    assert [w.by for w in evaluate(made, judged, later).waived] == ["vex"]


def test_an_author_that_is_not_the_expected_one():
    assert parse_vex(document(statement()), "v", "Shop")
    with pytest.raises(SettingsError, match="expected author 'Vendor', found 'Shop'"):
        parse_vex(document(statement()), "v", "Vendor")


HOSTILE = {
    "empty": b"",
    "not_json": b"{",
    "not_utf8": b"\xff\xfe{}",
    "deep": b"[" * 200_000,
    "a_list": b"[]",
    "no_context": b"{}",
    "other_context": document(**{"@context": "https://example.org"}),
    "context_list": document(**{"@context": ["https://openvex.dev/ns"]}),
    "author_number": document(author=3),
    "statements_missing": document(statements=None),
    "statement_text": document("x"),
    "status": document(statement(status="wontfix")),
    "status_list": document(statement(status=["fixed"])),
    "no_justification": document(statement(justification="")),
    "products_text": document(statement(products="x")),
    "product_number": document(statement(products=[3])),
    "identifiers_list": document(product(identifiers=[])),
    "hash_number": document(product(hashes={"sha-256": 3})),
    "subcomponents_text": document(product(subcomponents="x")),
    "subcomponent_number": document(product(subcomponents=[3])),
    "vulnerability_missing": document(statement(vulnerability=None)),
    "vulnerability_without_name": document(statement(vulnerability={})),
    "aliases_text": document(statement(vulnerability={"name": "x", "aliases": "y"})),
    "timestamp": document(statement(timestamp="yesterday")),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_wrong_documents(raw):
    with pytest.raises(SettingsError):
        parse_vex(raw, "vex.json")
