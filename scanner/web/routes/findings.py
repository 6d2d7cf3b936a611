"""Findings of an image, and where a rule found something."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner.model import Kind, Severity
from scanner.ports import FindingFilter, FindingRecord, Page
from scanner.web._parameters import After, Limit, PageOfImage, require_image
from scanner.web._route import Call, Content, Route, Scope, json_answer

_RuleId = Annotated[
    str, msgspec.Meta(max_length=255, description="Id of a rule: ``secret/aws-access-key``")
]
_NeededRuleId = Annotated[
    str, msgspec.Meta(min_length=1, max_length=255, description="Id of a rule")
]
_Kinds = Annotated[tuple[Kind, ...], msgspec.Meta(max_length=16)]
_Severities = Annotated[tuple[Severity, ...], msgspec.Meta(max_length=16)]
_Purl = Annotated[str, msgspec.Meta(max_length=1_024, description="purl of a package, whole")]
_Path = Annotated[str, msgspec.Meta(max_length=1_024, description="What the path begins with")]


class FindingsOfImage(PageOfImage, frozen=True, kw_only=True):
    """Which findings of an image; what is not given does not restrict."""

    rule: _RuleId = ""
    kind: _Kinds = ()
    severity: _Severities = ()
    package: _Purl = ""
    path: _Path = ""


class FindingsOfRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings of a rule; what is not given does not restrict."""

    rule: _NeededRuleId
    severity: _Severities = ()
    package: _Purl = ""
    path: _Path = ""
    after: After = ""
    limit: Limit = 100


async def list_findings_of_image(call: Call[FindingsOfImage, None]) -> web.StreamResponse:
    """Return an image's findings, the worst first; of an index, image by image."""
    asked, store = call.parameters, call.context.store
    wanted = FindingFilter(
        digest=asked.digest,
        rule_id=asked.rule,
        kinds=asked.kind,
        severities=asked.severity,
        package=asked.package,
        path_prefix=asked.path,
    )
    page = await store.findings(wanted, after=asked.after, limit=asked.limit)
    if not page.items:
        await require_image(store, asked.digest)
    return json_answer(page)


async def list_findings_of_rule(call: Call[FindingsOfRule, None]) -> web.StreamResponse:
    """Return what a rule found, in whatever image."""
    asked = call.parameters
    wanted = FindingFilter(
        rule_id=asked.rule,
        severities=asked.severity,
        package=asked.package,
        path_prefix=asked.path,
    )
    page = await call.context.store.findings(wanted, after=asked.after, limit=asked.limit)
    return json_answer(page)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/images/{digest}/findings",
        summary="An image's findings",
        handler=list_findings_of_image,
        parameters=FindingsOfImage,
        answers={200: Content(type=Page[FindingRecord])},
        problems=(404,),
        scope=Scope.READ,
        tag="images",
    ),
    Route(
        method="GET",
        path="/v1/findings",
        summary="What a rule found, everywhere",
        handler=list_findings_of_rule,
        parameters=FindingsOfRule,
        answers={200: Content(type=Page[FindingRecord])},
        scope=Scope.READ,
        tag="search",
    ),
)
