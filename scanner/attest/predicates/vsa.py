"""The verification summary of SLSA: the verdict of a policy, for tools that want no details.

Source: https://slsa.dev/spec/v1.2/verification_summary
"""

from __future__ import annotations

from typing import Any, Final

from scanner.attest._texts import text_at
from scanner.model import Decision, ScanState
from scanner.ports.attest import Attested, Predicate
from scanner.reports._shared import TOOL, image_purl

VERIFIER: Final = "https://scanner.dev"


def _build(attested: Attested) -> dict[str, Any] | None:
    verdict = attested.verdict
    if verdict is None:
        return None
    # A scan that failed saw nothing: whatever a policy made of it, it is no pass.
    is_passed = (
        verdict.decision is not Decision.DENY and attested.report.state is not ScanState.FAILED
    )
    result = "PASSED" if is_passed else "FAILED"
    algorithm, _, value = verdict.policy_digest.partition(":")
    return {
        "verifier": {"id": VERIFIER, "version": {TOOL: attested.report.scanner_version}},
        "timeVerified": verdict.evaluated_at,
        "resourceUri": image_purl(attested.name, attested.digest) or attested.name,
        "policy": {"uri": f"{TOOL}-policy:{verdict.policy}", "digest": {algorithm: value}},
        "verificationResult": result,
        "verifiedLevels": ["SCANNER_POLICY"] if is_passed else ["FAILED"],
        "slsaVersion": "1.2",
    }


PREDICATE: Final = Predicate(
    name="vsa",
    type="https://slsa.dev/verification_summary/v1",
    build=_build,
    moment=text_at("timeVerified"),
    summary="the verdict alone, as a SLSA verification summary; needs a policy",
)
