"""CSAF documents as Red Hat writes them: products named by CPE, packages by purl, and how they belong together.

Source: https://docs.oasis-open.org/csaf/csaf/v2.0/os/csaf-v2.0-os.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote

import msgspec

from scanner.decoding import decode_json

_DEPTH: Final = 6
"""Products that are part of products."""
_BRANCHES_COUNT: Final = 1_000_000


class Helper(msgspec.Struct):
    """How a product is known elsewhere."""

    cpe: str = ""
    purl: str = ""


class FullProduct(msgspec.Struct):
    """A product with its id."""

    product_id: str
    product_identification_helper: Helper = msgspec.field(default_factory=Helper)


class Branch(msgspec.Struct):
    """A node of the tree."""

    branches: list[msgspec.Raw] = []
    product: FullProduct | None = None


class Relationship(msgspec.Struct):
    """A product that is part of another one."""

    full_product_name: FullProduct
    product_reference: str
    relates_to_product_reference: str


class ProductTree(msgspec.Struct):
    """All products of a document."""

    branches: list[msgspec.Raw] = []
    relationships: list[Relationship] = []


class Tracking(msgspec.Struct):
    """Of which edition."""

    id: str
    current_release_date: str = ""
    initial_release_date: str = ""
    status: str = ""


class DocumentInfo(msgspec.Struct):
    """What the document is."""

    tracking: Tracking
    category: str = ""
    title: str = ""


class Cvss(msgspec.Struct, rename={"vector": "vectorString"}):
    """A vector."""

    vector: str = ""


class CsafScore(msgspec.Struct):
    """A vector and the products it is for."""

    cvss_v3: Cvss | None = None
    products: list[str] = []


class Threat(msgspec.Struct):
    """A rating of products."""

    category: str = ""
    details: str = ""
    product_ids: list[str] = []


class Remediation(msgspec.Struct):
    """What is done, or not, for products."""

    category: str = ""
    product_ids: list[str] = []


class ProductStatus(msgspec.Struct):
    """Products by state."""

    fixed: list[str] = []
    known_affected: list[str] = []
    under_investigation: list[str] = []


class Note(msgspec.Struct):
    """A text."""

    category: str = ""
    text: str = ""


class CsafVulnerability(msgspec.Struct):
    """One vulnerability of a document."""

    cve: str = ""
    title: str = ""
    notes: list[Note] = []
    scores: list[CsafScore] = []
    threats: list[Threat] = []
    remediations: list[Remediation] = []
    product_status: ProductStatus = msgspec.field(default_factory=ProductStatus)


class Csaf(msgspec.Struct):
    """A document."""

    document: DocumentInfo
    product_tree: ProductTree = msgspec.field(default_factory=ProductTree)
    vulnerabilities: list[CsafVulnerability] = []


class RpmPurl(NamedTuple):
    """An rpm package as a purl names it."""

    name: str
    version: str
    """``[epoch:]version-release``; empty if none is named."""
    stream: str
    """``name:stream`` of the module; empty outside modules."""


class Placed(NamedTuple):
    """A package in a product."""

    cpe: str
    package: RpmPurl


@dataclass(slots=True)
class Products:
    """The tree of one document, by id."""

    helpers: dict[str, Helper] = field(default_factory=dict)
    parts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Id of a whole -> (id of the part, id of what it is part of)."""

    def place(self, product_id: str) -> Placed | None:
        """Return which package in which product an id means; None if it is not a package."""
        cpe = stream = ""
        package: RpmPurl | None = None
        waiting = [(product_id, 0)]
        while waiting:
            one, depth = waiting.pop()
            if one in self.parts and depth < _DEPTH:
                waiting += [(part, depth + 1) for part in self.parts[one]]
                continue
            helper = self.helpers.get(one)
            cpe = (helper.cpe if helper else "") or cpe
            module = _module(helper.purl if helper else "")
            stream = module or stream
            if not module and not (helper and helper.cpe):
                package = _package(one, helper) or package
        if package is None or not cpe:
            return None
        return Placed(cpe, package._replace(stream=package.stream or stream))


def products_of(tree: ProductTree) -> Products:
    """Return the products of a tree by id; raises msgspec.DecodeError for a broken one."""
    found = Products()
    waiting = list(tree.branches)
    count = 0
    while waiting and count < _BRANCHES_COUNT:
        count += 1
        branch = decode_json(waiting.pop(), Branch)
        waiting += branch.branches
        if branch.product is not None:
            found.helpers[branch.product.product_id] = branch.product.product_identification_helper
    for one in tree.relationships:
        found.parts[one.full_product_name.product_id] = (
            one.product_reference,
            one.relates_to_product_reference,
        )
    return found


def _module(purl: str) -> str:
    """Return ``name:stream`` of ``pkg:rpmmod/redhat/name@stream:…``."""
    if not purl.startswith("pkg:rpmmod/"):
        return ""
    path = purl.partition("?")[0]
    name, _, version = path.rpartition("/")[2].partition("@")
    return f"{unquote(name)}:{unquote(version).partition(':')[0]}" if version else ""


def _package(product_id: str, helper: Helper | None) -> RpmPurl | None:
    if helper is not None and helper.purl.startswith("pkg:rpm/"):
        return _rpm_purl(helper.purl)
    if helper is not None and helper.purl:
        return None  # a container image, a jar
    stream, _, name = product_id.rpartition("/")
    if ":" in name or not name:
        return None
    return RpmPurl(name, "", stream if stream.count(":") == 1 else "")


def _rpm_purl(purl: str) -> RpmPurl:
    path, _, rest = purl.partition("#")[0].partition("?")
    name, _, version = path.rpartition("/")[2].partition("@")
    qualifiers = dict(part.partition("=")[::2] for part in rest.split("&"))
    epoch = qualifiers.get("epoch", "0")
    module = unquote(qualifiers.get("rpmmod", "")).split(":")
    version = unquote(version)
    prefix = f"{epoch}:" if version and epoch.isdecimal() and int(epoch) else ""
    return RpmPurl(unquote(name), prefix + version, ":".join(module[:2]) if len(module) > 1 else "")
