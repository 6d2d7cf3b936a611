"""The JSON report: ``ScanReport`` as it is, with a purl for each package. Schema: ``docs/schema/``.

Source: https://json-schema.org/draft/2020-12/schema
"""

from __future__ import annotations

from typing import Any, Final, TextIO

import msgspec

from scanner.model import ScanReport
from scanner.ports import ReportFormat
from scanner.reports._shared import write_json


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


def _write(report: ScanReport, stream: TextIO, colour: bool, width: int) -> None:  # noqa: FBT001, ARG001
    write_json(document(report), stream)


FORMAT: Final = ReportFormat(
    name="json",
    media_type="application/json",
    write=_write,
    summary="everything, for programs; schema in docs/schema",
)
