"""The JSON report: ``ScanReport`` as it is, with a purl for each package. Schema: ``docs/schema/``.

Source: https://json-schema.org/draft/2020-12/schema
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.model import ScanReport
from scanner.ports import ReportFormat
from scanner.reports._shared import json_writer


def document(report: ScanReport) -> dict[str, Any]:
    """Return the report as plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    for image, shown in zip(report.images, plain["images"], strict=True):
        for package, values in zip(image.packages, shown.get("packages", ()), strict=True):
            values["purl"] = package.purl
    return plain


def schema() -> dict[str, Any]:
    """Return the JSON schema of :func:`document`."""
    described = msgspec.json.schema(ScanReport)
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    described["title"] = "scanner report"
    package = described["$defs"]["Package"]
    package["properties"]["purl"] = {"type": "string"}
    package["required"] = [*package["required"], "purl"]
    return described


FORMAT: Final = ReportFormat(
    name="json",
    media_type="application/json",
    write=json_writer(document),
    summary="everything, for programs; schema in docs/schema",
)
