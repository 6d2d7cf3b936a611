"""Answer a registry's 401: Basic, or a bearer token per realm, service and scope.

Source: https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlencode

from scanner.errors import ForbiddenHostError, UnauthorizedError, UpstreamError
from scanner.sources._registry_credentials import ANONYMOUS, Credential
from scanner.sources._registry_errors import login_hint
from scanner.sources._registry_hosts import is_trusted_realm, split_url

_OPERATION: Final = "log in"
_CLIENT_ID: Final = "scanner"
_DEFAULT_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 86_400.0
_EARLY: Final = 0.9
"""A token counts as expired after this part of its life, so that it does not expire on its way."""
_PARAMETER_LENGTH: Final = 1_024
_TOKEN = re.compile(r"[!-~]{1,65536}\Z")
_CHALLENGE_PART = re.compile(
    r"[\s,]*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]*)))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a registry offers."""

    scheme: str
    """In lower case."""
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Return the challenges of a ``WWW-Authenticate`` header, in order; junk is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while match := _CHALLENGE_PART.match(header, position):
        position = match.end()
        name, quoted, bare = match.groups()
        if quoted is None and bare is None:
            found.append((name.lower(), {}))
        elif found:
            value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
    return [Challenge(scheme, parameters) for scheme, parameters in found]


class TokenServer(Protocol):
    """How tokens are fetched; implemented by the client."""

    def __call__(self, url: str, *, form: Mapping[str, str] | None, basic: str) -> bytes:
        """GET the URL (or POST the form) and return the body of a 200; redirects are not followed."""


@dataclass(frozen=True, slots=True)
class _Grant:
    header: str = field(repr=False)
    expires_at: float
    """``time.monotonic()``; infinite for Basic."""


@dataclass(slots=True)
class Authorizer:
    """``Authorization`` headers per scope for one registry. Safe for many threads."""

    host: str
    is_insecure: bool
    allowed_realm_hosts: frozenset[str]
    find_credential: Callable[[], Credential]
    """Called once, at the first 401: helper programs can be slow."""
    fetch: TokenServer
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _found: Credential | None = field(default=None, repr=False)
    _challenges: dict[str, Challenge] = field(default_factory=dict)
    _grants: dict[tuple[str, str, str], _Grant] = field(default_factory=dict, repr=False)

    def header(self, scope: str) -> str:
        """Return the header for requests of this scope; empty before the first 401.

        Raises: as :meth:`renew`, when a token has expired.
        """
        with self._lock:
            challenge = self._challenges.get(scope)
            if challenge is None:
                return ""
            grant = self._grants.get(_key(challenge, scope))
            if grant is None or grant.expires_at <= time.monotonic():
                grant = self._granted(challenge, scope)
            return grant.header

    def renew(self, scope: str, www_authenticate: str, refused: str) -> str:
        """Return another header than the ``refused`` one, as a 401 asks for it.

        Raises:
            UnauthorizedError: no way in that we know, or no credentials for it.
            ForbiddenHostError: a token server that must not be given the credentials.
            UpstreamError: the token server does not answer as it should.
            SettingsError: see ``find_credential``.
        """
        challenge = self._choose(parse_challenges(www_authenticate))
        with self._lock:
            self._challenges[scope] = challenge
            grant = self._grants.get(_key(challenge, scope))
            # Another thread may have renewed it in the meantime.
            if grant is None or grant.header == refused:
                grant = self._granted(challenge, scope)
            return grant.header

    def secrets(self) -> tuple[str, ...]:
        """Return every text that a message must not repeat."""
        with self._lock:
            tokens = tuple(g.header.partition(" ")[2] for g in self._grants.values())
            return (*(self._found or ANONYMOUS).secrets, *tokens)

    def _credential(self) -> Credential:
        if self._found is None:
            self._found = self.find_credential()
        return self._found

    def _choose(self, challenges: list[Challenge]) -> Challenge:
        for scheme in ("bearer", "basic"):
            for challenge in challenges:
                if challenge.scheme == scheme:
                    return challenge
        raise UnauthorizedError(
            self.host, _OPERATION, "the registry refuses and offers no way to log in that we know"
        )

    def _granted(self, challenge: Challenge, scope: str) -> _Grant:
        grant = self._basic() if challenge.scheme == "basic" else self._bearer(challenge, scope)
        self._grants[_key(challenge, scope)] = grant
        return grant

    def _basic(self) -> _Grant:
        credential = self._credential()
        if not credential.username:
            raise UnauthorizedError(
                self.host,
                _OPERATION,
                "the registry wants a user name and password",
                hint=login_hint(self.host),
            )
        return _Grant(credential.basic, float("inf"))

    def _bearer(self, challenge: Challenge, scope: str) -> _Grant:
        credential = self._credential()
        if credential.registry_token:
            return _Grant(f"Bearer {credential.registry_token}", float("inf"))
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm, credential)
        _, service, wanted = _key(challenge, scope)
        query = {"service": service, "scope": wanted, "client_id": _CLIENT_ID}
        started_at = time.monotonic()
        if credential.identity_token:
            form = {
                **query,
                "grant_type": "refresh_token",
                "refresh_token": credential.identity_token,
            }
            body = self.fetch(realm, form=form, basic="")
        else:
            basic = credential.basic if credential else ""
            separator = "&" if "?" in realm else "?"
            body = self.fetch(f"{realm}{separator}{urlencode(query)}", form=None, basic=basic)
        token, seconds = _parse_token(body, self.host)
        return _Grant(f"Bearer {token}", started_at + seconds * _EARLY)

    def _check_realm(self, realm: str, credential: Credential) -> None:
        """Refuse a token server on plain http, and one of other people if there is anything to give."""
        parts = split_url(realm, host=self.host, operation=_OPERATION)
        if parts.scheme != "https" and not self.is_insecure:
            raise ForbiddenHostError(
                self.host, _OPERATION, f"the token server {parts.netloc[:255]} is on plain http"
            )
        if credential and not is_trusted_realm(parts.netloc, self.host, self.allowed_realm_hosts):
            raise ForbiddenHostError(
                self.host,
                _OPERATION,
                f"credentials are not given to the token server {parts.netloc[:255]}, another host",
                hint=f"if it is right, add {parts.netloc[:255]} to the setting registry.token_hosts",
            )


def _key(challenge: Challenge, scope: str) -> tuple[str, str, str]:
    """Return realm, service and scope; the scope we need where the registry names none."""
    parameters = challenge.parameters
    wanted = parameters.get("scope") or scope
    return (
        parameters.get("realm", ""),
        parameters.get("service", "")[:_PARAMETER_LENGTH],
        wanted[:_PARAMETER_LENGTH],
    )


def _parse_token(body: bytes, host: str) -> tuple[str, float]:
    """Return token and seconds of life from a token server's answer."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise UpstreamError(host, _OPERATION, "the token server did not answer with a JSON object")
    token = answer.get("token") or answer.get("access_token")
    if not isinstance(token, str) or not _TOKEN.match(token):
        raise UpstreamError(host, _OPERATION, "the token server's answer holds no token")
    seconds = answer.get("expires_in")
    if not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST_SECONDS:
        return token, _DEFAULT_SECONDS
    return token, float(seconds)
