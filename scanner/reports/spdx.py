"""SPDX 2.3: the packages of an image.

Source: https://spdx.github.io/spdx-spec/v2.3/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final

from scanner.model import ImageReport, Package, ScanReport
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
    unique_images,
    unique_packages,
)

_UNSAID: Final = "NOASSERTION"
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9.-]+")


def document(report: ScanReport) -> dict[str, Any]:
    """Return the document as plain values; the same for the same report."""
    name = name_of(report)
    packages: list[dict[str, Any]] = []
    relations: list[dict[str, str]] = []
    root = _image_id(report.digest)
    images = unique_images(report)
    if is_index(report):
        packages.append(_container(report.digest, name, "", f"state {report.state}"))
    relations.append(_relation("SPDXRef-DOCUMENT", "DESCRIBES", root))
    for image in images:
        own = _image_id(image.digest)
        packages.append(_container(image.digest, name, image.platform.architecture, _about(image)))
        if is_index(report):
            relations.append(_relation(root, "CONTAINS", own))
        inside = [*_system(image), *(_package(*one) for one in unique_packages(image).items())]
        packages += inside
        relations += [_relation(own, "CONTAINS", one["SPDXID"]) for one in inside]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:uuid:{document_id(report)}",
        "creationInfo": {
            "created": moment(finished_at(report)),
            "creators": [f"Tool: {TOOL}-{report.scanner_version}"],
            "comment": f"scan state {report.state}, analyzers {report.fingerprint}",
        },
        "packages": packages,
        "relationships": relations,
        **_extracted(p for image in images for p in image.packages),
    }


def _image_id(digest: str) -> str:
    return f"SPDXRef-Image-{digest.partition(':')[2]}"


def _relation(left: str, kind: str, right: str) -> dict[str, str]:
    return {"spdxElementId": left, "relationshipType": kind, "relatedSpdxElement": right}


def _about(image: ImageReport) -> str:
    unseen = f"; not looked for: {', '.join(image.coverage.not_looked_for)}" * bool(
        image.coverage.not_looked_for
    )
    error = f"; {image.error}" if image.error else ""
    return f"{image.platform}, state {image.state}{error}{unseen}"


def _container(digest: str, name: str, architecture: str, about: str) -> dict[str, Any]:
    algorithm, _, value = digest.partition(":")
    return {
        "SPDXID": _image_id(digest),
        "name": name,
        "versionInfo": digest,
        "checksums": [{"algorithm": algorithm.upper(), "checksumValue": value}],
        "primaryPackagePurpose": "CONTAINER",
        "comment": about,
        **_unsaid(),
        **_purl(image_purl(name, digest, architecture)),
    }


def _unsaid() -> dict[str, Any]:
    return {
        "downloadLocation": _UNSAID,
        "filesAnalyzed": False,
        "licenseConcluded": _UNSAID,
        "licenseDeclared": _UNSAID,
        "copyrightText": _UNSAID,
    }


def _purl(purl: str) -> dict[str, Any]:
    if not purl:
        return {}
    reference = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }
    return {"externalRefs": [reference]}


def _system(image: ImageReport) -> list[dict[str, Any]]:
    distribution = image.distribution
    if distribution is None:
        return []
    return [
        {
            "SPDXID": f"{_image_id(image.digest)}-system",
            "name": distribution.id or _UNSAID,
            "versionInfo": distribution.point_release or distribution.version,
            "primaryPackagePurpose": "OPERATING_SYSTEM",
            **_unsaid(),
        }
    ]


def _package(ref: str, package: Package) -> dict[str, Any]:
    unsaid = _unsaid()
    if package.licenses:
        unsaid["licenseDeclared"] = _expression(package.licenses)
    return {
        "SPDXID": f"SPDXRef-Package-{ref}",
        "name": package.name or _UNSAID,
        "versionInfo": package.version,
        "sourceInfo": f"found in /{package.path}"
        + (", named there only" if package.declared else ""),
        **unsaid,
        **_purl(package.purl),
    }


def _expression(licenses: Iterable[str]) -> str:
    return " AND ".join(dict.fromkeys(map(_license_id, licenses)))


def _license_id(text: str) -> str:
    if text in LICENSE_IDS:
        return text
    readable = _NOT_IN_IDS.sub("-", text)[:40].strip("-")
    return f"LicenseRef-{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _extracted(packages: Iterable[Package]) -> dict[str, Any]:
    """Return the section of licences that are not on SPDX' list, if there are any."""
    texts = dict.fromkeys(t for p in packages for t in p.licenses if t not in LICENSE_IDS)
    infos = [
        {"licenseId": _license_id(text), "extractedText": text, "name": text} for text in texts
    ]
    return {"hasExtractedLicensingInfos": infos} if infos else {}


FORMAT: Final = ReportFormat(
    name="spdx",
    media_type="application/spdx+json",
    write=json_writer(document),
    summary="the packages as an SPDX 2.3 document",
)
