"""Errors as ``application/problem+json``: one shape, and one place that decides the status.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from scanner import errors

MEDIA_TYPE: Final = "application/problem+json"
_ABOUT_BLANK: Final = "about:blank"

_STATUSES: Final[tuple[tuple[type[errors.ScannerError], int], ...]] = (
    (errors.UnauthenticatedError, 401),
    (errors.MalformedEventError, 400),
    (errors.LimitExceededError, 413),
    (errors.InputError, 422),
    (errors.InvalidReferenceError, 400),
    (errors.UpstreamError, 502),
    (errors.StoreError, 503),
)
"""The first that fits counts: narrower kinds stand before wider ones."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not done."""

    type: str = _ABOUT_BLANK
    title: str
    """The same for every problem of this status."""
    status: int
    detail: str = ""
    """What was wrong with this request; never a secret."""
    code: str
    """Stable and short, for programs."""
    state: str = ""
    """``unknown`` where an image or scan is not known."""


class RequestError(errors.ScannerError):
    """A request that cannot be done as it stands: the status and code say why."""

    code = "bad-request"

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        state: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.problem_code = code
        self.detail = detail
        self.state = state
        self.headers = headers or {}


def unknown(what: str) -> RequestError:
    """Return the answer for something that is not known (yet)."""
    return RequestError(404, "unknown", f"{what} is not known", state="unknown")


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    state: str = "",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return one problem as an answer that no cache keeps."""
    problem = Problem(
        title=http.HTTPStatus(status).phrase, status=status, detail=detail, code=code, state=state
    )
    return web.Response(
        status=status,
        body=msgspec.json.encode(problem),
        headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **(headers or {})},
    )


def response_of(error: Exception) -> web.Response:
    """Return the answer to an exception; what is not ours tells nothing but that it happened."""
    if isinstance(error, RequestError):
        return problem_response(
            error.status, error.problem_code, error.detail, state=error.state, headers=error.headers
        )
    if isinstance(error, errors.ScannerError):
        return _of_ours(error)
    if isinstance(error, web.HTTPException):
        return _of_aiohttp(error)
    return problem_response(500, "internal-error", "")


def _of_ours(error: errors.ScannerError) -> web.Response:
    status = next((s for kind, s in _STATUSES if isinstance(error, kind)), 500)
    headers: dict[str, Any] = {}
    detail = str(error)[:500]
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="scanner"'
    elif status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
        detail = (
            "the database cannot be used just now"  # paths and hosts are the operator's business
        )
    elif status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
        detail = ""
    return problem_response(status, error.code, detail, headers=headers)


def _of_aiohttp(error: web.HTTPException) -> web.Response:
    """Return 404, 405, 413 … of the framework without its text, with the headers that carry meaning."""
    if error.status < http.HTTPStatus.BAD_REQUEST:
        raise error
    phrase = http.HTTPStatus(error.status).phrase
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return problem_response(
        error.status, phrase.lower().replace(" ", "-").replace("'", ""), phrase, headers=headers
    )
