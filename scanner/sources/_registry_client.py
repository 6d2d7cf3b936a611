"""oras, with what it leaves out: a token per scope, time-outs, retries, our own redirects, typed errors.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import oras.provider
import requests

from scanner.errors import (
    InvalidReferenceError,
    LimitExceededError,
    UnauthorizedError,
    UpstreamError,
)
from scanner.model import Digest, Reference, parse_digest
from scanner.ports import SourceOptions
from scanner.sources._registry_credentials import find_credential
from scanner.sources._registry_errors import (
    Backoff,
    TransientError,
    drain,
    is_retryable,
    retrying,
    status_failure,
    wire_errors,
)
from scanner.sources._registry_hosts import (
    HostGuard,
    is_insecure,
    origin,
    redirect_target,
    split_url,
)
from scanner.sources._registry_token import Authorizer
from scanner.sources._registry_transport import GuardedAdapter, PlainSession

_REDIRECTS_COUNT: Final = 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_READS: Final = frozenset({"GET", "HEAD"})
_TOKEN_BYTES: Final = 1024 * 1024
_REPLY_BYTES: Final = 4 * 1024 * 1024
_READ_BYTES: Final = 65_536
_DOCUMENT_SECONDS: Final = 300.0
"""For all of a small document, however slowly it drips."""
_SIGNED_URL_REFUSED: Final = frozenset({400, 401, 403})
_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)(?:/|\Z)")


class Document(NamedTuple):
    """A small reply, read whole."""

    content: bytes
    headers: Mapping[str, str]


class RegistryClient(oras.provider.Registry):  # type: ignore[misc] # oras has no types
    """One registry. Safe for many threads; everything that oras does goes through :meth:`do_request`."""

    def __init__(self, reference: Reference, options: SourceOptions, backoff: Backoff) -> None:
        self.host = reference.api_host
        plain = is_insecure(self.host, options.insecure_hosts)
        super().__init__(hostname=self.host, insecure=plain)
        self._options = options
        self._backoff = backoff
        self._origin = origin(
            split_url(f"{self.prefix}://{self.host}", host=self.host, operation="open")
        )
        self._authorizer = Authorizer(
            host=self.host,
            is_insecure=plain,
            allowed_realm_hosts=options.allowed_realm_hosts,
            find_credential=lambda: find_credential(reference, options),
            fetch=self._fetch_token,
        )
        self._prepare_session()

    def _prepare_session(self) -> None:
        guard = HostGuard(self.host)
        timeout_seconds = (self._options.connect_seconds, self._options.idle_seconds)
        self.session = self.auth.session = PlainSession()
        for prefix in ("https://", "http://", f"{self.prefix}://{self.host}/"):
            adapter = GuardedAdapter(
                guard,
                is_registry=prefix.endswith(f"{self.host}/"),
                timeout_seconds=timeout_seconds,
                ca_file=self._options.ca_file,
                proxies=self._options.proxies,
            )
            self.session.mount(prefix, adapter)

    def url(self, repository: str, path: str) -> str:
        """Return the URL of ``manifests/…`` or ``blobs/…`` of a repository."""
        return f"{self.prefix}://{self.host}/v2/{repository}/{path}"

    def close(self) -> None:
        """Close every connection."""
        self.session.close()

    def do_request(  # noqa: PLR0917 - the signature of oras
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = False,  # noqa: FBT001, FBT002
    ) -> requests.Response:
        """Send a request as oras wants it sent, and return the reply whatever its status.

        Raises:
            UpstreamError: no reply worth the name after every retry; also its subclasses.
        """
        operation = f"{method} {url.partition('?')[0]}"[:300]
        more = {"data": data, "json": json}

        def once() -> requests.Response:
            response = self._exchange(method, url, headers or {}, operation, **more)
            if method in _READS and is_retryable(response.status_code):
                raise self.failure(response, operation)
            if not stream:
                with response:
                    content = self._read(response, _REPLY_BYTES, "reply_bytes", operation)
                # How requests itself marks a body as read.
                response._content = content  # noqa: SLF001
            return response

        retries_count = self._options.retries_count if method in _READS else 0
        return retrying(once, retries_count=retries_count, backoff=self._backoff)

    def fetch_document(
        self, url: str, *, accept: str, limit: str, allowed: int, operation: str
    ) -> Document:
        """Return a small reply with status 200; a cut one is fetched again.

        Raises:
            LimitExceededError: it is longer than ``allowed`` bytes; ``limit`` is the name of that.
            UpstreamError: any other status, or no reply; also its subclasses.
        """

        def once() -> Document:
            with self._exchange("GET", url, {"Accept": accept}, operation) as response:
                if response.status_code != requests.codes.ok:
                    raise self.failure(response, operation)
                return Document(self._read(response, allowed, limit, operation), response.headers)

        return retrying(once, retries_count=self._options.retries_count, backoff=self._backoff)

    def open_stream(self, url: str, *, offset: int, operation: str) -> requests.Response:
        """Return a reply with status 200, 206 or 416, its body not yet read.

        Raises:
            UpstreamError: any other status, or no reply; also its subclasses.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}

        def once() -> requests.Response:
            response = self._exchange("GET", url, headers, operation)
            if response.status_code not in (200, 206, 416):
                raise self.failure(response, operation)
            return response

        return retrying(once, retries_count=self._options.retries_count, backoff=self._backoff)

    def failure(
        self, response: requests.Response, operation: str
    ) -> TransientError | UpstreamError:
        """Return the error for a reply that is not a success, without the secrets that were sent."""
        return status_failure(response, self.host, operation, self._authorizer.secrets())

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], operation: str, **more: Any
    ) -> requests.Response:
        """Send one request, log in when asked to, and follow redirects of reads, without a retry."""
        current, at_home, scope = url, True, _scope_of(url, method)
        for _ in range(_REDIRECTS_COUNT + 1):
            if at_home:
                response = self._send_authorized(method, current, headers, operation, scope, **more)
            else:
                response = self._send(method, current, headers, operation, **more)
            if response.status_code not in _REDIRECTS or method not in _READS:
                return response if at_home else self._check_away(response, operation)
            drain(response)
            current = redirect_target(
                current,
                response.headers.get("Location"),
                host=self.host,
                operation=operation,
                insecure_hosts=self._options.insecure_hosts,
            )
            # Once away, credentials stay behind even if the chain comes back.
            at_home = at_home and self._is_home(current, operation)
        raise UpstreamError(self.host, operation, f"more than {_REDIRECTS_COUNT} redirects")

    def _is_home(self, url: str, operation: str) -> bool:
        return origin(split_url(url, host=self.host, operation=operation)) == self._origin

    def _check_away(self, response: requests.Response, operation: str) -> requests.Response:
        """Treat a refusal by another host as an expired signature: the registry can give a new one."""
        if response.status_code not in _SIGNED_URL_REFUSED:
            return response
        drain(response)
        reason = f"HTTP {response.status_code} from the host that the registry redirects to"
        error = UpstreamError(self.host, operation, reason, retryable=True)
        raise TransientError(error, tries=2)

    def _send_authorized(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        operation: str,
        scope: str,
        **more: Any,
    ) -> requests.Response:
        header = self._authorizer.header(scope)
        response = self._send(method, url, _with_authorization(headers, header), operation, **more)
        if response.status_code != requests.codes.unauthorized:
            return response
        failure = self.failure(response, operation)
        challenge = response.headers.get("WWW-Authenticate", "")
        try:
            renewed = self._authorizer.renew(scope, challenge, header)
        except UnauthorizedError as error:
            if challenge:
                raise
            raise failure from error
        response = self._send(method, url, _with_authorization(headers, renewed), operation, **more)
        if response.status_code == requests.codes.unauthorized:
            raise self.failure(response, operation)
        return response

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], operation: str, **more: Any
    ) -> requests.Response:
        with wire_errors(self.host, operation):
            response: requests.Response = self.session.request(
                method, url, headers=dict(headers), stream=True, allow_redirects=False, **more
            )
        return response

    def _read(self, response: requests.Response, allowed: int, limit: str, operation: str) -> bytes:
        """Return a body of at most ``allowed`` bytes."""
        deadline = time.monotonic() + _DOCUMENT_SECONDS
        content = bytearray()
        with wire_errors(self.host, operation):
            while chunk := response.raw.read1(_READ_BYTES):
                content += chunk
                if len(content) > allowed:
                    raise LimitExceededError(limit, allowed, len(content))
                if time.monotonic() > deadline:
                    raise UpstreamError(self.host, operation, "the reply takes too long")
        return bytes(content)

    def _fetch_token(self, url: str, *, form: Mapping[str, str] | None, basic: str) -> bytes:
        """Ask a token server; its redirects are not followed, as credentials go along."""
        operation = "log in"
        method = "GET" if form is None else "POST"
        headers = _with_authorization({"Accept": "application/json"}, basic)
        with self._send(method, url, headers, operation, data=form) as response:
            if response.status_code in _REDIRECTS:
                raise UpstreamError(self.host, operation, "the token server redirects")
            if response.status_code != requests.codes.ok:
                raise self.failure(response, operation)
            return self._read(response, _TOKEN_BYTES, "token_bytes", operation)


def _with_authorization(headers: Mapping[str, str], value: str) -> dict[str, str]:
    return {**headers, "Authorization": value} if value else dict(headers)


def _scope_of(url: str, method: str) -> str:
    """Return the scope that a request needs; empty where it concerns no repository."""
    match = _REPOSITORY.search(url.partition("?")[0])
    actions = "pull" if method in _READS else "pull,push"
    return f"repository:{match[1]}:{actions}" if match else ""


def digest_or_none(text: str | None) -> Digest | None:
    """Return what a header says, if that is a digest."""
    try:
        return parse_digest(text)
    except InvalidReferenceError:
        return None
