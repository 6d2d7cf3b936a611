"""What goes wrong on the wire, mapped to our errors in this one place; and how often to try again.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
"""

from __future__ import annotations

import http.client
import json
import math
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, TypeVar

import requests
import urllib3

from scanner.errors import NotFoundError, UnauthorizedError, UpstreamError

T = TypeVar("T")

_RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_TUNNEL_REFUSED: Final = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")
_FEW_TRIES: Final = 2
"""For what seldom gets better: 500, and nobody listening."""
_HUB: Final = "registry-1.docker.io"
_ERROR_BYTES: Final = 16_384
_MESSAGE_LENGTH: Final = 200
_CAUSE_DEPTH: Final = 8
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")
_UNPRINTABLE = re.compile(r"[^ -~]+")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between tries: exponential with jitter, or what the registry asks for, up to a cap."""

    base_seconds: float = 0.5
    cap_seconds: float = 30.0
    longest_asked_seconds: float = math.inf
    """A registry that asks for more is not tried again."""

    def wait_seconds(self, attempt: int, asked: float | None) -> float:
        """Return how long to wait after the try numbered ``attempt`` (from 0)."""
        if asked is not None:
            return min(max(asked, 0.0), self.cap_seconds)
        grown = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt, 16))
        return grown * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


class TransientError(Exception):
    """A try failed in a way that another may not. Never leaves the registry source."""

    def __init__(
        self, error: UpstreamError, *, wait_seconds: float | None = None, tries: int | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_seconds = wait_seconds
        self.tries = tries
        """Upper bound of tries for this kind of failure."""


def retrying(call: Callable[[], T], *, retries_count: int, backoff: Backoff) -> T:
    """Return what ``call`` returns, tried again while it raises TransientError.

    Raises:
        UpstreamError: the last try's, once there are no more.
    """
    attempt = 0
    while True:
        try:
            return call()
        except TransientError as failure:
            tries = retries_count + 1
            is_last = attempt + 1 >= min(tries, failure.tries or tries)
            if is_last or (failure.wait_seconds or 0.0) > backoff.longest_asked_seconds:
                raise failure.error from None
            wait = backoff.wait_seconds(attempt, failure.wait_seconds)
        time.sleep(wait)
        attempt += 1


@contextmanager
def wire_errors(host: str, operation: str) -> Iterator[None]:
    """Map what requests and urllib3 raise to TransientError (worth another try) or UpstreamError.

    The cause is not chained: its text holds the URL, which after a redirect is a signed one.
    """
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _translated(error, host, operation) from None


def _translated(error: Exception, host: str, operation: str) -> UpstreamError | TransientError:
    cause = _root_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = f"TLS certificate not accepted: {cause.verify_message}"
        hint = "name the CA that signed it in the setting registry.ca_file"
        return UpstreamError(host, operation, reason[:_MESSAGE_LENGTH], hint=hint)
    if isinstance(cause, ssl.SSLError):
        return _tls_failure(cause, host, operation)
    if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
        return UpstreamError(host, operation, "no such host name")
    if isinstance(cause, requests.exceptions.InvalidURL | urllib3.exceptions.LocationParseError):
        return UpstreamError(host, operation, "an address that cannot be used")
    if isinstance(error, requests.exceptions.ProxyError):
        return _proxy_failure(cause, host, operation)
    tries = _FEW_TRIES if isinstance(cause, ConnectionRefusedError) else None
    return TransientError(
        UpstreamError(host, operation, _reason(cause), retryable=True), tries=tries
    )


def _proxy_failure(cause: BaseException, host: str, operation: str) -> TransientError:
    refused = _TUNNEL_REFUSED.search(str(cause))
    reason = f"HTTP {refused[1]}" if refused else _reason(cause)
    error = UpstreamError(
        host,
        operation,
        f"the proxy: {reason}",
        retryable=True,
        hint="see HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment",
    )
    return TransientError(error, tries=_FEW_TRIES)


def _tls_failure(cause: ssl.SSLError, host: str, operation: str) -> UpstreamError | TransientError:
    """Return the error for a broken handshake, which may mean that there is no TLS at all."""
    is_cut = isinstance(cause, ssl.SSLEOFError)
    reason = "connection cut" if is_cut else str(getattr(cause, "reason", None) or "unknown")[:80]
    error = UpstreamError(
        host,
        operation,
        f"TLS failed ({reason})",
        retryable=is_cut,
        hint=f"if this registry speaks plain http, say so: --insecure-registry {host}",
    )
    return TransientError(error, tries=_FEW_TRIES) if is_cut else error


def _reason(cause: BaseException) -> str:
    timeouts = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)
    if isinstance(cause, timeouts):
        return "timed out"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    cuts = (urllib3.exceptions.ProtocolError, http.client.IncompleteRead, ConnectionError)
    if isinstance(cause, cuts):
        return "the connection was cut"
    return f"the connection failed ({type(cause).__name__})"


def _root_cause(error: BaseException) -> BaseException:
    """Return the innermost telling exception: requests wraps urllib3, which wraps the socket's."""
    found = error
    for _ in range(_CAUSE_DEPTH):
        inner = getattr(found, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in reversed(found.args) if isinstance(a, BaseException)), None)
        inner = inner or found.__cause__
        if inner is None:
            break
        found = inner
    return found


def is_retryable(status: int) -> bool:
    """Say whether a try that ended with this status may go better next time."""
    return status in _RETRYABLE


def status_failure(
    response: requests.Response, host: str, operation: str, secrets: Iterable[str]
) -> TransientError | UpstreamError:
    """Return the error for a reply that is not a success, and close the reply."""
    status = response.status_code
    reason = f"HTTP {status}{_details(response, secrets)}"
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(host, operation, reason, hint="check the spelling, or log in")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return UnauthorizedError(host, operation, reason, hint=login_hint(host))
    if not is_retryable(status):
        return UpstreamError(host, operation, reason)
    few = _FEW_TRIES if status == HTTPStatus.INTERNAL_SERVER_ERROR else None
    asked = _retry_after(response)
    error = UpstreamError(host, operation, reason, retryable=True, after_seconds=asked or 0.0)
    return TransientError(error, wait_seconds=asked, tries=few)


def login_hint(host: str) -> str:
    """Return what a person can do to be let in."""
    name = "" if host == _HUB else f" {host}"
    return f"log in (docker login{name}), or give SCANNER_REGISTRY_USERNAME and _PASSWORD"


def _details(response: requests.Response, secrets: Iterable[str]) -> str:
    """Return the registry's own code and message, bounded, printable and without secrets."""
    try:
        document = json.loads(drain(response))
        first = document["errors"][0]
        code, message = first.get("code"), first.get("message")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    if not isinstance(code, str) or not _CODE.match(code):
        return ""
    text = message if isinstance(message, str) else ""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = _UNPRINTABLE.sub(" ", text[:_MESSAGE_LENGTH]).strip()
    return f" {code}: {text}" if text else f" {code}"


def drain(response: requests.Response) -> bytes:
    """Return the first 16 KiB of a body that nobody waits for, and let go of the connection."""
    whole = vars(response).get("_content")
    if isinstance(whole, bytes):  # read before; how requests itself marks that
        return whole[:_ERROR_BYTES]
    try:
        # Read to the end where it is short, so that the connection can be used again.
        body: bytes = response.raw.read1(_ERROR_BYTES) or b""
        if body and response.raw.length_remaining:
            body += response.raw.read1(_ERROR_BYTES) or b""
    except (urllib3.exceptions.HTTPError, OSError):
        body = b""
    finally:
        response.close()
    return body


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, given as a number or as a date."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
