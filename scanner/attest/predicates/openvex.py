"""OpenVEX: vulnerabilities that somebody has judged not to matter here, and why.

Source: https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from scanner.attest._texts import text_at
from scanner.model import Verdict, Waived
from scanner.ports.attest import Attested, Predicate
from scanner.reports._shared import TOOL, image_purl

_CONTEXT: Final = "https://openvex.dev/ns/v0.2.0"


def _build(attested: Attested) -> dict[str, Any] | None:
    verdict = attested.verdict
    waived = [w for w in verdict.waived if w.vulnerability] if verdict else []
    if verdict is None or not waived:
        return None
    known = f"{attested.digest} {verdict.policy_digest} {verdict.evaluated_at}"
    return {
        "@context": _CONTEXT,
        "@id": f"https://scanner.dev/vex/{hashlib.sha256(known.encode()).hexdigest()}",
        "author": TOOL,
        "timestamp": verdict.evaluated_at,
        "version": 1,
        "tooling": f"{TOOL}/{attested.report.scanner_version}",
        "statements": [_statement(attested, verdict, w) for w in waived],
    }


def _statement(attested: Attested, verdict: Verdict, waived: Waived) -> dict[str, Any]:
    """Return one statement. A waiver is no proof that the image is not affected: it says who takes the risk."""
    digest = waived.image or attested.digest
    algorithm, _, value = digest.partition(":")
    product: dict[str, Any] = {
        "@id": image_purl(attested.name, digest) or digest,
        "hashes": {{"sha256": "sha-256", "sha512": "sha-512"}.get(algorithm, algorithm): value},
    }
    if waived.package:
        product["subcomponents"] = [{"@id": waived.package}]
    why = f"{waived.by} of policy {verdict.policy}: {waived.reason or 'no reason given'}"
    owner = f" ({waived.owner})" if waived.owner else ""
    until = f", until {waived.expires}" if waived.expires else ""
    return {
        "vulnerability": {"name": waived.vulnerability},
        "products": [product],
        **_status(waived, f"{why}{owner}{until}"),
    }


def _status(waived: Waived, why: str) -> dict[str, Any]:
    if waived.by == "vex":
        return {"status": "not_affected", "impact_statement": why}
    return {"status": "affected", "action_statement": f"accepted: {why}"}


PREDICATE: Final = Predicate(
    name="openvex",
    type="https://openvex.dev/ns",
    build=_build,
    moment=text_at("timestamp"),
    summary="vulnerabilities that were waived, and why; needs a policy with waivers",
)
