"""Which images hold a package: asked when an advisory comes out."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner.discovery import version_schemes
from scanner.matching.purl import Purl, parse_purl
from scanner.matching.ranges import Selection, parse_range, select
from scanner.ports import PackageUse, Page
from scanner.ports.version import VersionScheme
from scanner.web._parameters import After, Limit
from scanner.web._problems import RequestError
from scanner.web._route import Call, Content, Route, Scope, json_answer

_INCOMPARABLE_SHOWN: Final = 100
_Purl = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=1_024,
        description="``pkg:type/namespace/name[@version]``; qualifiers do not count",
    ),
]
_Version = Annotated[
    str,
    msgspec.Meta(
        max_length=512,
        description="A version, or comparisons that all must hold: ``<2.17``, ``>=1,<2``",
    ),
]


class WantedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """Which package, of which versions; none given: of any."""

    purl: _Purl
    version: _Version = ""
    after: After = ""
    limit: Limit = 100


class PackageUses(msgspec.Struct, frozen=True, kw_only=True):
    """Images that hold a package."""

    items: tuple[PackageUse, ...]
    next: str = ""
    """Where the next page begins; empty on the last."""
    incomparable_versions: tuple[str, ...] = ()
    """Versions that some image holds and that cannot be compared: their images are not in ``items``. At most 100."""


async def find_package(call: Call[WantedPackage, None]) -> web.StreamResponse:
    """Return the images that hold a package, of any version, of one, or of all that comparisons hold for.

    Versions are compared as the package's ecosystem does; where its order is not known, only exact versions work.
    """
    asked, store = call.parameters, call.context.store
    purl = parse_purl(asked.purl)
    if purl.version and asked.version:
        raise RequestError(400, "bad-parameter", "version: the purl has one already")
    chosen = await _selection(call, purl)
    if chosen is not None and not chosen.inside:
        return json_answer(_answer(Page(items=()), chosen))
    page = await store.images_with_package(
        purl.purl_type,
        purl.namespace,
        purl.name,
        versions=chosen.inside if chosen is not None else None,
        after=asked.after,
        limit=asked.limit,
    )
    return json_answer(_answer(page, chosen))


def _answer(page: Page[PackageUse], chosen: Selection | None) -> PackageUses:
    incomparable = chosen.incomparable[:_INCOMPARABLE_SHOWN] if chosen is not None else ()
    return PackageUses(items=page.items, next=page.next, incomparable_versions=incomparable)


async def _selection(call: Call[WantedPackage, None], purl: Purl) -> Selection | None:
    """Return the versions wanted among those that some image holds; None: all of them."""
    wanted = parse_range(call.parameters.version) if call.parameters.version else None
    exact = purl.version or (wanted.exact if wanted is not None else "")
    if exact:
        return Selection((exact,), ())
    if wanted is None:
        return None
    scheme = _scheme(purl.purl_type)
    return select(wanted, await call.context.store.package_versions(*purl[:3]), scheme)


def _scheme(purl_type: str) -> VersionScheme:
    scheme = version_schemes().get(purl_type)
    if scheme is None:
        detail = f"the order of {purl_type} versions is not known: only exact versions work"
        raise RequestError(400, "unknown-version-order", detail)
    return scheme


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/packages",
        summary="Images that hold a package",
        handler=find_package,
        parameters=WantedPackage,
        answers={200: Content(type=PackageUses)},
        scope=Scope.READ,
        tag="search",
    ),
)
