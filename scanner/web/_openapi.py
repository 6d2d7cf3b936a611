"""The OpenAPI document, made from the route records that also do the routing: it cannot say something else.

Source: https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import http
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from scanner import __version__
from scanner.web._problems import MEDIA_TYPE, Problem
from scanner.web._route import Content, Route

_REFERENCE: Final = "#/components/schemas/{name}"
_ALWAYS: Final = (500, 503)
_TEXT: Final[Mapping[str, Any]] = {"type": "string"}


def problems_of(route: Route[Any, Any]) -> tuple[int, ...]:
    """Return the status of every problem that an endpoint can answer with."""
    found = {*_ALWAYS, *route.problems, 400}
    if route.scope is not None:
        found |= {401, 403}
    if route.body is not None:
        found |= {408, 413, 415}
    if route.raw_body:
        found |= {408, 413}
    return tuple(sorted(found))


def document(routes: Iterable[Route[Any, Any]], *, public_url: str = "") -> dict[str, Any]:
    """Return the document for ``routes``; ``public_url`` is where clients reach the service."""
    chosen = list(routes)
    schemas, components = msgspec.json.schema_components(_types(chosen), ref_template=_REFERENCE)
    schema_of = dict(zip(_types(chosen), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in chosen:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, schema_of, components
        )
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "scanner",
            "version": __version__,
            "summary": "What is known of container images, by digest.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url or "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types(routes: list[Route[Any, Any]]) -> list[Any]:
    found: dict[Any, None] = {Problem: None}
    for route in routes:
        found[route.parameters] = None
        if route.body is not None:
            found[route.body] = None
        found.update({c.type: None for c in route.answers.values() if c.type is not None})
    return list(found)


def _operation(
    route: Route[Any, Any], schema_of: Mapping[Any, Any], components: Mapping[str, Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").strip(),
        "tags": [route.tag],
        "parameters": [*_parameters(route, schema_of, components), *_headers(route)],
        "responses": _responses(route, schema_of),
        "security": [{"token": [route.scope.value]}] if route.scope else [],
    }
    if route.body is not None:
        content = {"application/json": {"schema": schema_of[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.raw_body:
        operation["requestBody"] = {"content": {"application/json": {"schema": {}}}}
    return operation


def _operation_id(route: Route[Any, Any]) -> str:
    return route.handler.__name__.strip("_")


def _parameters(
    route: Route[Any, Any], schema_of: Mapping[Any, Any], components: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return one entry per field of the parameters' struct."""
    struct = schema_of[route.parameters]
    described = components[struct["$ref"].rpartition("/")[2]]
    found: list[dict[str, Any]] = []
    for name, schema in described.get("properties", {}).items():
        in_path = name in route.path_names
        entry: dict[str, Any] = {
            "name": name,
            "in": "path" if in_path else "query",
            "required": in_path or name in described.get("required", ()),
            "schema": {k: v for k, v in schema.items() if k != "description"},
        }
        if "description" in schema:
            entry["description"] = schema["description"]
        found.append(entry)
    return found


def _headers(route: Route[Any, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": text, "schema": _TEXT}
        for name, text in route.headers.items()
    ]


def _responses(route: Route[Any, Any], schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    found = {str(s): _answer(s, c, schema_of) for s, c in route.answers.items()}
    problem = {MEDIA_TYPE: {"schema": schema_of[Problem]}}
    for status in problems_of(route):
        if str(status) not in found:
            found[str(status)] = {"description": _phrase(status), "content": problem}
    return found


def _answer(status: int, content: Content, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": content.description or _phrase(status)}
    if content.media_types:
        schema = schema_of[content.type] if content.type is not None else _TEXT
        answer["content"] = {
            media_type: {"schema": schema if media_type.endswith("json") else _TEXT}
            for media_type in content.media_types
        }
    if content.headers:
        answer["headers"] = {name: {"schema": _TEXT} for name in content.headers}
    return answer


def _phrase(status: int) -> str:
    return http.HTTPStatus(status).phrase
