"""The packages as an SPDX document.

Source: https://github.com/in-toto/attestation/blob/main/spec/predicates/spdx.md
"""

from __future__ import annotations

from typing import Any, Final

from scanner.attest._texts import text_at
from scanner.model import ScanState
from scanner.ports.attest import Attested, Predicate
from scanner.reports import spdx


def _build(attested: Attested) -> dict[str, Any] | None:
    if attested.report.state is ScanState.FAILED:
        return None
    return spdx.document(attested.report)


PREDICATE: Final = Predicate(
    name="spdx",
    type="https://spdx.dev/Document",
    build=_build,
    moment=text_at("creationInfo", "created"),
    summary="the packages as an SPDX 2.3 document, by the type that cosign --type spdxjson asks for",
)
