"""Read what a request says within its bounds, into the typed structs its endpoint declares."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from scanner.decoding import convert
from scanner.web._problems import RequestError
from scanner.web._route import Route

_NUL: Final = "\0"
_BODY_SECONDS: Final = 30.0
S = TypeVar("S", bound=msgspec.Struct)


@cache
def _lists_of(struct: type[msgspec.Struct]) -> Mapping[str, bool]:
    """Return the names of a struct's fields, and whether each takes a list."""
    fields = msgspec.structs.fields(struct)  # evaluates every annotation anew: once is enough
    return {field.encode_name: "tuple" in str(field.type) for field in fields}


def parameters_of(route: Route[Any, Any], request: web.Request) -> msgspec.Struct:
    """Return path and query parameters.

    Raises:
        RequestError: 400: unknown, repeated or not of the declared form.
    """
    struct: type[msgspec.Struct] = route.parameters
    values: dict[str, Any] = dict(request.match_info)
    if request.query_string:
        _add_query(values, _lists_of(struct), request)
    if _NUL in "".join(map("".join, values.values())):  # of texts and lists of texts
        raise RequestError(400, "bad-parameter", "NUL is not a character of any parameter")
    return _convert(values, struct, "bad-parameter", strict=False)


def _add_query(values: dict[str, Any], lists: Mapping[str, bool], request: web.Request) -> None:
    """Add the query's parameters; those of the path are none of them."""
    in_path = tuple(values)
    for name in request.query:
        if name not in lists or name in in_path:
            raise RequestError(400, "unknown-parameter", f"no parameter {name[:40]!r}")
        given = request.query.getall(name)
        if lists[name]:
            values[name] = given
        elif len(given) > 1:
            raise RequestError(400, "bad-parameter", f"{name}: given more than once")
        else:
            values[name] = given[0]


async def body_of(route: Route[Any, Any], request: web.Request) -> msgspec.Struct | None:
    """Return the JSON body as the struct its endpoint declares, None if it takes none.

    Raises:
        RequestError: 400 not of the declared form, 413 too large, 415 not JSON.
    """
    if route.body is None:
        return None
    if request.content_type != "application/json":
        raise RequestError(415, "unsupported-media-type", "the body must be application/json")
    raw = await read_bounded(request)
    if b"\\u0000" in raw:
        raise RequestError(400, "bad-body", "NUL is not a character of any text")
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, "bad-body", f"not JSON: {error}"[:200]) from error
    return _convert(values, route.body, "bad-body", strict=True)


async def read_bounded(request: web.Request) -> bytes:
    """Return the whole body; the application's ``client_max_size`` bounds it.

    Raises:
        RequestError: 413 too large, 400 cut off, 408 too slow.
    """
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        detail = f"the body did not arrive within {_BODY_SECONDS:g} seconds"
        raise RequestError(408, "request-timeout", detail) from error
    except web.HTTPRequestEntityTooLarge as error:
        raise RequestError(
            413, "body-too-large", f"the body is larger than {request.client_max_size} bytes"
        ) from error


def _convert(values: Any, kind: type[S], code: str, *, strict: bool) -> S:
    try:
        return convert(values, kind, strict=strict)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise RequestError(400, code, str(error)[:300]) from error
