"""Ask a ``scanner serve`` over HTTP: what it knows of an image, or to scan one and tell how that goes.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import requests

from scanner import __version__
from scanner.errors import (
    NotFoundError,
    SettingsError,
    UnauthorizedError,
    UpstreamError,
)

_CHUNK_BYTES: Final = 65_536
_ANSWER_BYTES: Final = 1024 * 1024
REPORT_BYTES: Final = 512 * 1024 * 1024
_EVENT_BYTES: Final = 1024 * 1024
_DETAIL_LENGTH: Final = 300
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_UNPRINTABLE: Final = re.compile(r"[^ -~]+")
_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Which server, and how it is spoken to."""

    url: str
    """``https://host[:port][/prefix]``."""
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    insecure: bool = False
    """Speak plain http to a host that is not this machine."""
    connect_seconds: float = 5.0
    idle_seconds: float = 60.0
    """Longest wait for the next bytes; a server with nothing to tell still says so more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer of the server: 2xx."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def value(self) -> Any:
        """Return the JSON value; raises ValueError or RecursionError if it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    name: str
    data: str


class _Bearer(requests.auth.AuthBase):
    """Shows the token; an auth object of our own also keeps requests from asking netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Client:
    """One server. Redirects are not followed: the token is for the URL that was given, and no other."""

    def __init__(self, options: ClientOptions) -> None:
        """Open nothing yet.

        Raises:
            SettingsError: the URL is none, or would carry the token in the clear.
        """
        self._base = _checked_url(options)
        self._host = urlsplit(self._base).netloc
        self._options = options
        self._session = requests.Session()
        self._session.auth = _Bearer(options.token)
        self._session.headers["User-Agent"] = f"scanner/{__version__}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def ask(
        self,
        method: str,
        path: str,
        operation: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
        most_bytes: int = _ANSWER_BYTES,
    ) -> Answer:
        """Return the server's answer to one request; ``operation`` names it in errors.

        Raises:
            NotFoundError: 404. UnauthorizedError: 401 and 403.
            UpstreamError: any other status, no answer, or one of more than ``most_bytes``.
        """
        with (
            self._errors(operation),
            self._send(method, path, operation, accept=accept, body=body, query=query) as response,
        ):
            raw = self._bounded(response, operation, most_bytes)
            return Answer(status=response.status_code, headers=response.headers, body=raw)

    def events(self, path: str, operation: str) -> Iterator[Event]:
        """Yield what the server tells until it ends the stream; raises like :meth:`ask`."""
        with (
            self._errors(operation),
            self._send("GET", path, operation, accept=_EVENTS) as response,
        ):
            if not response.headers.get("Content-Type", "").startswith(_EVENTS):
                raise UpstreamError(self._host, operation, "the server tells no events there")
            yield from parse_events(response.iter_content(_CHUNK_BYTES))

    def unexpected(self, operation: str) -> UpstreamError:
        """Return the error for an answer that is not of the form we know."""
        return self.failed(operation, "the answer has another form than ours")

    def failed(self, operation: str, reason: str) -> UpstreamError:
        """Return the error for what the server says it could not do."""
        return UpstreamError(self._host, operation, reason)

    def _send(
        self,
        method: str,
        path: str,
        operation: str,
        *,
        accept: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        response = self._session.request(
            method,
            f"{self._base}{path}",
            params=query,
            json=body,
            headers={"Accept": accept},
            timeout=(self._options.connect_seconds, self._options.idle_seconds),
            verify=str(self._options.ca_file) if self._options.ca_file else True,
            allow_redirects=False,
            stream=True,
        )
        if response.status_code not in range(200, 300):
            with response:
                raise self._refused(response, operation)
        return response

    def _bounded(self, response: requests.Response, operation: str, most_bytes: int) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > most_bytes:
                raise UpstreamError(
                    self._host, operation, f"the answer is larger than {most_bytes} bytes"
                )
        return bytes(body)

    def _refused(self, response: requests.Response, operation: str) -> UpstreamError:
        status = response.status_code
        if response.is_redirect:
            hint = "give the address it redirects to as the server's"
            return UpstreamError(
                self._host, operation, f"{status}: redirects are not followed", hint=hint
            )
        reason = f"{status} {_detail(self._bounded(response, operation, _ANSWER_BYTES))}".rstrip()
        if status == HTTPStatus.NOT_FOUND:
            return NotFoundError(self._host, operation, reason)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            hint = "set SCANNER_TOKEN to a token of that server: scanner token create NAME --scope read,scan"
            return UnauthorizedError(self._host, operation, reason, hint=hint)
        return UpstreamError(self._host, operation, reason, retryable=status in _RETRYABLE)

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        """Map what requests raises to ours; the cause is not chained, as its text may hold headers."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            hint = "name the CA that signed its certificate in the setting client.ca_file"
            reason = f"TLS: {_innermost(error)}"
            raise UpstreamError(self._host, operation, reason, hint=hint) from None
        except requests.Timeout:
            raise UpstreamError(
                self._host, operation, "no answer in time", retryable=True
            ) from None
        except (requests.RequestException, OSError) as error:
            reason = _innermost(error)
            raise UpstreamError(self._host, operation, reason, retryable=True) from None


def parse_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a stream; comments are skipped, and so is one that the stream's end cuts off.

    Raises:
        requests.RequestException: an event without end.
    """
    rest = b""
    name = "message"
    data: list[str] = []
    for chunk in chunks:
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        if len(rest) + sum(map(len, data)) > _EVENT_BYTES:
            raise requests.RequestException("an event is too large")
        for line in lines:
            key, _, value = line.decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield Event(name, "\n".join(data))
                name, data = "message", []
            elif key == "event":
                name = value
            elif key == "data":
                data.append(value)


def _checked_url(options: ClientOptions) -> str:
    """Return the URL without a slash at its end."""
    try:
        parts = urlsplit(options.url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise SettingsError("server", "expected https://host[:port]")
    if parts.username or parts.password:
        raise SettingsError("server", "the URL must hold no password; the token is SCANNER_TOKEN")
    if parts.scheme == "http" and not options.insecure and not is_loopback(host):
        error = SettingsError("server", "plain http is spoken to this machine only")
        error.hint = "use https, or set client.insecure if the network between is trusted"
        raise error
    if options.ca_file is not None and not options.ca_file.is_file():
        raise SettingsError("client.ca_file", f"{options.ca_file} is not a file")
    return options.url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine by itself; names are not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _detail(body: bytes) -> str:
    """Return what a problem document says, printable and short."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(problem, dict):
        return ""
    text = problem.get("detail") or problem.get("title") or ""
    return _UNPRINTABLE.sub(" ", str(text))[:_DETAIL_LENGTH]


def _innermost(error: BaseException) -> str:
    """Return the reason at the bottom of a chain of wrapped errors, without the request around it."""
    seen: BaseException = error
    for _ in range(8):
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        inner = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
        if inner is None or inner is seen:
            break
        seen = inner
    text = getattr(seen, "strerror", None) or type(seen).__name__
    return _UNPRINTABLE.sub(" ", str(text))[:_DETAIL_LENGTH]
