"""The packages as a CycloneDX bill of materials.

Source: https://github.com/in-toto/attestation/blob/main/spec/predicates/cyclonedx.md
"""

from __future__ import annotations

from typing import Any, Final

from scanner.attest._texts import text_at
from scanner.model import ScanState
from scanner.ports.attest import Attested, Predicate
from scanner.reports import cyclonedx


def _build(attested: Attested) -> dict[str, Any] | None:
    if attested.report.state is ScanState.FAILED:
        return None
    return cyclonedx.document(attested.report)


PREDICATE: Final = Predicate(
    name="cyclonedx",
    type="https://cyclonedx.org/bom",
    build=_build,
    moment=text_at("metadata", "timestamp"),
    summary="the packages as a CycloneDX 1.6 bill of materials",
)
