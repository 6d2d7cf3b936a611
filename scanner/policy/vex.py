"""OpenVEX: what the authors of software say of vulnerabilities in it.

Only documents that the operator's policy names are read; what an image holds never speaks for the image.

Source: https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from scanner.errors import SettingsError
from scanner.model.vulnerability import parse_moment
from scanner.policy._match import purl_forms

DOCUMENT_BYTES: Final = 16 * 1024 * 1024
_STATEMENTS: Final = 100_000
_WAIVES: Final = frozenset({"not_affected", "fixed"})
_STATUSES: Final = _WAIVES | {"affected", "under_investigation"}
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Product:
    """What a statement is about: an image (digest, name), a package, or a package in an image."""

    digest: str = ""
    name: str = ""
    """``registry/repository``."""
    package: str = ""
    parts: tuple[str, ...] = ()
    """purls of packages in it; empty: all."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of one document."""

    ids: tuple[str, ...]
    status: str
    products: tuple[Product, ...]
    at: datetime
    order: int
    """The later of two of the same moment wins."""
    why: str
    author: str


@dataclass(frozen=True, slots=True)
class ImageNames:
    """What an image may be called by a statement."""

    digests: frozenset[str]
    name: str


def parse_vex(raw: bytes, where: str, author: str = "") -> tuple[Statement, ...]:
    """Return the statements of a document, in its order; those about no product we know of are left out.

    Raises:
        SettingsError: too large, not OpenVEX, not by ``author``, or a statement that breaks the specification.
    """
    if len(raw) > DOCUMENT_BYTES:
        raise SettingsError(where, f"longer than {DOCUMENT_BYTES:,} bytes")
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(where, f"not JSON: {error}"[:200]) from None
    context = document.get("@context") if isinstance(document, dict) else None
    if not isinstance(context, str) or not context.startswith("https://openvex.dev/ns"):
        raise SettingsError(where, "not OpenVEX: expected @context https://openvex.dev/ns/v0.2.0")
    by = _text(document, "author", where)
    if author and by != author:
        raise SettingsError(where, f"expected author {author!r}, found {by[:80]!r}")
    statements = document.get("statements")
    if not isinstance(statements, list) or len(statements) > _STATEMENTS:
        raise SettingsError(where, f"statements: expected a list of at most {_STATEMENTS:,}")
    written_at = _moment(document, where) or _LONG_AGO
    return tuple(
        _statement(s, f"{where}: statements[{n}]", by, n, written_at)
        for n, s in enumerate(statements)
    )


def _text(table: Any, key: str, where: str) -> str:
    value = table.get(key, "") if isinstance(table, dict) else None
    if not isinstance(value, str):
        raise SettingsError(where, f"{key}: expected a text")
    return value


def _moment(table: dict[str, Any], where: str) -> datetime | None:
    text = _text(table, "last_updated", where) or _text(table, "timestamp", where)
    moment = parse_moment(text) if text else None
    if text and moment is None:
        raise SettingsError(where, "timestamp: expected a moment (RFC 3339)")
    return moment


def _statement(raw: Any, where: str, author: str, order: int, at: datetime) -> Statement:
    if not isinstance(raw, dict):
        raise SettingsError(where, "expected an object")
    status = _text(raw, "status", where)
    if status not in _STATUSES:
        raise SettingsError(where, f"status: expected one of {', '.join(sorted(_STATUSES))}")
    justification = _text(raw, "justification", where)
    impact = _text(raw, "impact_statement", where)
    if status == "not_affected" and not (justification or impact):
        raise SettingsError(where, "not_affected needs a justification or an impact_statement")
    products = raw.get("products", [])
    if not isinstance(products, list):
        raise SettingsError(where, "products: expected a list")
    why = ": ".join(t for t in (status, justification, impact or _text(raw, "status_notes", where)) if t)  # fmt: skip
    return Statement(
        ids=tuple(_ids(raw.get("vulnerability"), where)),
        status=status,
        products=tuple(p for item in products for p in _products(item, f"{where}: products")),
        at=_moment(raw, where) or at,
        order=order,
        why=why[:500],
        author=author,
    )


def _ids(raw: Any, where: str) -> Iterator[str]:
    """Yield name and aliases; version 0.0.1 had the name alone."""
    if isinstance(raw, str) and raw:
        yield raw
        return
    name = _text(raw, "name", f"{where}: vulnerability")
    if not name:
        raise SettingsError(where, "vulnerability: expected a name")
    yield name
    aliases = raw.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(a, str) for a in aliases):
        raise SettingsError(where, "vulnerability.aliases: expected a list of texts")
    yield from aliases


def _products(raw: Any, where: str) -> Iterator[Product]:
    """Yield one product per way that it is named."""
    table = {"@id": raw} if isinstance(raw, str) else raw
    if not isinstance(table, dict):
        raise SettingsError(where, "expected a text or an object")
    identifiers = table.get("identifiers", {})
    hashes = table.get("hashes", {})
    parts = table.get("subcomponents", [])
    if not (isinstance(identifiers, dict) and isinstance(hashes, dict) and isinstance(parts, list)):
        raise SettingsError(where, "expected a text, or an object with identifiers and hashes")
    purls = tuple(dict.fromkeys(p for part in parts for p in _names(part, where)))
    if parts and not purls:
        return  # parts that we cannot know: it says nothing about packages
    for name in dict.fromkeys((*_names(table, where), _text(identifiers, "purl", where))):
        if product := _product(name, purls):
            yield product
    if sha256 := _text(hashes, "sha-256", where):
        yield Product(digest=f"sha256:{sha256.lower()}", parts=purls)


def _names(raw: Any, where: str) -> Iterator[str]:
    """Yield what may be a purl or an image of a product or subcomponent."""
    if isinstance(raw, str):
        yield raw
        return
    if name := _text(raw, "@id", where):
        yield name
    identifiers = raw.get("identifiers", {})
    if isinstance(identifiers, dict) and (purl := _text(identifiers, "purl", where)):
        yield purl


def _product(name: str, parts: tuple[str, ...]) -> Product | None:
    """Return what a name stands for; None if it names neither a package nor one image or repository."""
    if name.startswith("pkg:oci/"):
        return _oci_product(name, parts)
    if name.startswith("pkg:"):
        return Product(package=name)
    repository, at, digest = name.rpartition("@")
    if at and digest.startswith(("sha256:", "sha512:")):
        return Product(digest=digest, name=repository, parts=parts)
    return None


def _oci_product(purl: str, parts: tuple[str, ...]) -> Product | None:
    bare, _, query = purl.partition("?")
    path, _, version = bare.removeprefix("pkg:oci/").partition("@")
    own = unquote(path).rpartition("/")[2]
    url = (parse_qs(query.partition("#")[0]).get("repository_url") or [""])[0]
    if url and url.rpartition("/")[2] != own:
        url = f"{url}/{own}"
    digest = unquote(version)
    return Product(digest=digest, name=url, parts=parts) if digest or url else None


class VexIndex:
    """Statements by vulnerability."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        self._by_id: dict[str, list[Statement]] = {}
        for statement in statements:
            for name in statement.ids:
                self._by_id.setdefault(name.upper(), []).append(statement)

    def waiving(
        self, ids: Iterable[str], package: str, image: ImageNames, now: datetime
    ) -> Statement | None:
        """Return the newest statement on a vulnerability of a package in an image, if it waives it."""
        newest: Statement | None = None
        for name in ids:
            for statement in self._by_id.get(name.upper(), ()):
                if newest and (statement.at, statement.order) <= (newest.at, newest.order):
                    continue
                if statement.at <= now and any(_is_about(p, package, image) for p in statement.products):  # fmt: skip
                    newest = statement
        return newest if newest and newest.status in _WAIVES else None

    def __bool__(self) -> bool:
        return bool(self._by_id)


def _is_about(product: Product, package: str, image: ImageNames) -> bool:
    if product.package:
        return _same_package(product.package, package)
    if product.digest and product.digest not in image.digests:
        return False
    if product.name and product.name != image.name and not product.digest:
        return False
    return not product.parts or any(_same_package(part, package) for part in product.parts)


def _same_package(named: str, package: str) -> bool:
    """Whether a purl means a package: the same, with no more qualifiers than it has; no version means any."""
    if not package:
        return False
    _, named_bare, named_head = purl_forms(named)
    _, bare, head = purl_forms(package)
    if named_bare != (head if named_bare == named_head else bare):
        return False
    wanted = parse_qs(named.partition("?")[2].partition("#")[0])
    found = parse_qs(package.partition("?")[2].partition("#")[0])
    return wanted.items() <= found.items()
