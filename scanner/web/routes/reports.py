"""The full report of an image, in every format that the command line has."""

from __future__ import annotations

import asyncio
import io
from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner import __version__
from scanner.discovery import report_formats
from scanner.model import ScanReport
from scanner.ports import ReportFormat
from scanner.web._negotiate import choose, etag_of, is_known
from scanner.web._parameters import OfImage
from scanner.web._problems import RequestError, unknown
from scanner.web._route import Call, Content, Route, Scope
from scanner.web.routes.images import IF_NONE_MATCH, REVALIDATE

_COLUMNS: Final = 100
_FormatName = Annotated[
    str, msgspec.Meta(max_length=64, description="Name of the format; goes before ``Accept``")
]


class WantedReport(OfImage, frozen=True, kw_only=True):
    """Which report, and how it is to be written."""

    format: _FormatName = ""


async def get_report(call: Call[WantedReport, None]) -> web.StreamResponse:
    """Return the full report in the format that ``format`` or ``Accept`` names; JSON if neither does."""
    store, digest = call.context.store, call.parameters.digest
    written_as = _format(call)
    image = await store.image(digest)
    if image is None:
        raise unknown("the image")
    etag = etag_of(
        digest, image.fingerprint, image.scanned_at.isoformat(), written_as.name, __version__
    )
    headers = {"ETag": etag, "Cache-Control": REVALIDATE, "Vary": "Accept"}
    if is_known(call.request.headers.get("If-None-Match", ""), etag):
        return web.Response(status=304, headers=headers)
    report = await store.report(digest)
    if report is None:
        raise unknown("the image's report")
    # In a thread: a report can be large, and other answers must not wait for it.
    body = await asyncio.to_thread(_written, written_as, report)
    media_type = written_as.media_type
    charset = "; charset=utf-8" if media_type.startswith("text/") else ""
    return web.Response(body=body, headers={**headers, "Content-Type": f"{media_type}{charset}"})


def _format(call: Call[WantedReport, None]) -> ReportFormat:
    """Return the format wanted; raises RequestError (406) with those there are."""
    formats = report_formats()
    name = call.parameters.format
    if name in formats:
        return formats[name]
    by_type = _by_media_type()
    accept = call.request.headers.get("Accept", "")
    chosen = None if name else choose(accept, list(by_type))
    if chosen is None:
        offered = ", ".join(f"{f.name} ({f.media_type})" for f in formats.values())
        raise RequestError(406, "not-acceptable", f"reports are written as {offered}")
    return by_type[chosen]


def _by_media_type() -> dict[str, ReportFormat]:
    """Return a format for each media type, JSON first: it is what a client gets that does not say."""
    formats = sorted(report_formats().values(), key=lambda f: f.name != "json")
    found: dict[str, ReportFormat] = {}
    for one in formats:
        found.setdefault(one.media_type, one)
    return found


def _written(written_as: ReportFormat, report: ScanReport) -> bytes:
    stream = io.StringIO()
    written_as.write(report, stream, False, _COLUMNS)  # noqa: FBT003 - no colours
    return stream.getvalue().encode("utf-8", "replace")


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/images/{digest}/report",
        summary="An image's full report",
        handler=get_report,
        parameters=WantedReport,
        answers={
            200: Content(
                type=dict,
                media_types=tuple(_by_media_type()),
                description="The report; its JSON schema is in docs/schema",
                headers=("ETag", "Cache-Control"),
            ),
            304: Content(media_types=(), description="As the client has it", headers=("ETag",)),
        },
        problems=(404, 406),
        scope=Scope.READ,
        headers=IF_NONE_MATCH,
        tag="images",
    ),
)
