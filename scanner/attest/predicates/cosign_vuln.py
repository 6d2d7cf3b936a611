"""cosign's vulnerability predicate, which Kyverno and policy-controller read as ``vuln``.

Source: https://github.com/sigstore/cosign/blob/main/specs/COSIGN_VULN_ATTESTATION_SPEC.md
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.attest._texts import text_at
from scanner.attest._vulnerabilities import looked_for_vulnerabilities
from scanner.ports.attest import Attested, Predicate
from scanner.reports._shared import TOOL, moment, started_at, unique_images, vulnerabilities


def _build(attested: Attested) -> dict[str, Any] | None:
    report = attested.report
    if not looked_for_vulnerabilities(report):
        return None
    images = [
        {
            "digest": image.digest,
            "platform": str(image.platform),
            "state": str(image.state),
            "coverage": msgspec.to_builtins(image.coverage),
            "findings": msgspec.to_builtins(tuple(vulnerabilities(image))),
        }
        for image in unique_images(report)
    ]
    return {
        "invocation": {"parameters": [], "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": f"pkg:generic/{TOOL}@{report.scanner_version}",
            "version": report.scanner_version,
            "db": {
                "uri": "",
                "version": moment(attested.advisories_at) if attested.advisories_at else "",
            },
            "result": {"state": str(report.state), "images": images},
        },
        "metadata": {
            "scanStartedOn": moment(started_at(report)),
            "scanFinishedOn": moment(attested.scanned_at),
        },
    }


PREDICATE: Final = Predicate(
    name="vuln",
    type="https://cosign.sigstore.dev/attestation/vuln/v1",
    build=_build,
    moment=text_at("metadata", "scanFinishedOn"),
    summary="known vulnerabilities, for cosign --type vuln, Kyverno and policy-controller",
)
