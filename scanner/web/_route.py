"""What an endpoint is: one record, from which its routing, its checks and its documentation come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from scanner.web._context import WebContext


class Scope(StrEnum):
    """What a token lets its holder do. ``admin`` holds all others."""

    READ = "read"
    SCAN = "scan"
    WEBHOOK = "webhook"
    ADMISSION = "admission"
    ADMIN = "admin"


class NoParameters(msgspec.Struct, frozen=True):
    """Of an endpoint that takes none."""


P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct | None)


@dataclass(frozen=True, slots=True)
class Call(Generic[P, B]):
    """One request whose scope, parameters and body have been checked."""

    context: WebContext
    request: web.Request
    parameters: P
    body: B
    token: str = ""
    """Name of the token that asked, empty if none was needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an answer holds: values of ``type`` as JSON, or text of other media types."""

    type: Any = None
    media_types: tuple[str, ...] = ("application/json",)
    description: str = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[P, B]):
    """One endpoint. ``{name}`` in the path is a field of ``parameters``; its other fields are the query's.

    A module below ``scanner.web.routes`` exports ``ROUTES`` and is found by walking the package.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Call[P, B]], Awaitable[web.StreamResponse]]
    answers: Mapping[int, Content]
    problems: tuple[int, ...] = ()
    """Statuses of problems beside those that follow from scope, parameters and body."""
    scope: Scope | None = None
    """None: anybody may ask."""
    checks_scope: bool = False
    """The handler checks by itself who asks: its callers understand no problem documents."""
    parameters: type[P] = NoParameters  # type: ignore[assignment] # the default of a generic field
    body: type[msgspec.Struct] | None = None
    raw_body: bool = False
    """The handler reads the body itself: any bytes up to the limit."""
    deep: tuple[str, ...] = ()
    """Path parameters that may hold ``/``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Optional request headers with their meaning."""
    tag: str

    @property
    def path_names(self) -> tuple[str, ...]:
        """Names in the path, in order."""
        return tuple(part.partition("}")[0] for part in self.path.split("{")[1:])

    @property
    def routing_path(self) -> str:
        """The path as aiohttp writes it."""
        path = self.path
        for name in self.deep:
            path = path.replace(f"{{{name}}}", f"{{{name}:.+}}")
        return path


def json_answer(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return ``value`` as JSON."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
