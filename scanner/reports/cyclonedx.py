"""CycloneDX 1.6: the packages of an image, and their known vulnerabilities if those were looked for.

Source: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

from typing import Any, Final

from scanner.model import Finding, ImageReport, Package, ScanReport, ScanState, Severity
from scanner.model.vulnerability import vulnerability_facts
from scanner.ports import ReportFormat
from scanner.reports._shared import (
    LICENSE_IDS,
    TOOL,
    document_id,
    finished_at,
    image_purl,
    is_index,
    json_writer,
    moment,
    name_of,
    refs_by_purl,
    refs_of,
    unique_images,
    unique_packages,
    vulnerabilities,
    vulnerability_id,
)

_SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_AGGREGATES: Final = {
    ScanState.COMPLETE: "complete",
    ScanState.PARTIAL: "incomplete",
    ScanState.FAILED: "unknown",
}


def document(report: ScanReport) -> dict[str, Any]:
    """Return the bill of materials as plain values; the same for the same report."""
    name = name_of(report)
    components: list[dict[str, Any]] = []
    dependencies: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    images = unique_images(report)
    if is_index(report):
        components += [_image(image, name) for image in images]
        below = [image.digest for image in images]
        dependencies.append({"ref": report.digest, "dependsOn": below})
    for image in images:
        packages = unique_packages(image)
        system = _system(image)
        parts = [*system, *(_component(ref, p) for ref, p in packages.items())]
        components += parts
        dependencies.append({"ref": image.digest, "dependsOn": [p["bom-ref"] for p in parts]})
        by_purl = refs_by_purl(packages)
        found += [_vulnerability(image, f, by_purl) for f in vulnerabilities(image)]
    root = _index(report, name) if is_index(report) else _image(images[0], name)
    return {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{document_id(report)}",
        "version": 1,
        "metadata": _metadata(report, root),
        "components": components,
        "dependencies": dependencies,
        "compositions": [
            {"aggregate": _AGGREGATES[image.state], "assemblies": [image.digest]}
            for image in images
        ],
        "vulnerabilities": found,
    }


def _metadata(report: ScanReport, root: dict[str, Any]) -> dict[str, Any]:
    tool = {"type": "application", "name": TOOL, "version": report.scanner_version}
    unseen = sorted({kind for image in report.images for kind in image.coverage.not_looked_for})
    return {
        "timestamp": moment(finished_at(report)),
        "tools": {"components": [tool]},
        "component": root,
        "properties": _properties(
            ("state", str(report.state)),
            ("fingerprint", report.fingerprint),
            ("not_looked_for", ",".join(unseen)),
        ),
    }


def _properties(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": f"{TOOL}:{name}", "value": value} for name, value in pairs if value]


def _index(report: ScanReport, name: str) -> dict[str, Any]:
    root = {"type": "container", "bom-ref": report.digest, "name": name, "version": report.digest}
    purl = image_purl(name, report.digest)
    return {**root, "purl": purl} if purl else root


def _image(image: ImageReport, name: str) -> dict[str, Any]:
    purl = image_purl(name, image.digest, image.platform.architecture)
    return {
        "type": "container",
        "bom-ref": image.digest,
        "name": name,
        "version": image.digest,
        **({"purl": purl} if purl else {}),
        "properties": _properties(
            ("platform", str(image.platform)), ("state", str(image.state)), ("error", image.error)
        ),
    }


def _system(image: ImageReport) -> list[dict[str, Any]]:
    distribution = image.distribution
    if distribution is None:
        return []
    return [
        {
            "type": "operating-system",
            "bom-ref": f"{image.digest}/system",
            "name": distribution.id,
            "version": distribution.point_release or distribution.version or distribution.codename,
        }
    ]


def _component(ref: str, package: Package) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "library", "bom-ref": ref, "name": package.name}
    if package.namespace:
        component["group"] = package.namespace
    component |= {"version": package.version, "purl": package.purl}
    if package.licenses:
        component["licenses"] = [{"license": _license(text)} for text in package.licenses]
    component["properties"] = _properties(
        ("layer", package.layer),
        ("declared", "true" if package.declared else ""),
        ("source_package", package.source_name),
        ("source_version", package.source_version),
    )
    component["evidence"] = {"occurrences": [{"location": f"/{package.path}"}]}
    return component


def _license(text: str) -> dict[str, str]:
    return {"id" if text in LICENSE_IDS else "name": text}


def _vulnerability(
    image: ImageReport, finding: Finding, by_purl: dict[str, list[tuple[str, str]]]
) -> dict[str, Any]:
    refs = refs_of(finding, by_purl) or [image.digest]
    fixed = vulnerability_facts(finding).fixed_version
    return {
        "bom-ref": f"{image.digest}/{finding.fingerprint}",
        "id": vulnerability_id(finding),
        "ratings": [{"severity": str(Severity(finding.severity)), "method": "other"}],
        "description": finding.title,
        "detail": finding.why,
        "recommendation": finding.remedy,
        "affects": [{"ref": ref} for ref in refs],
        "properties": _properties(("fingerprint", finding.fingerprint), ("fixed_version", fixed)),
    }


FORMAT: Final = ReportFormat(
    name="cyclonedx",
    media_type="application/vnd.cyclonedx+json",
    write=json_writer(document),
    summary="the packages as a CycloneDX 1.6 bill of materials",
)
