"""Who asks, and whether they may: bearer tokens with scopes, known by their SHA-256 only.

Source: https://www.rfc-editor.org/rfc/rfc6750
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from typing import Final

from aiohttp import web

from scanner.errors import UnauthenticatedError
from scanner.ports import ServiceStore, TokenRecord
from scanner.web._problems import RequestError
from scanner.web._route import Scope

_KEPT_SECONDS: Final = 5.0
"""A revoked token works for this much longer at most."""
_KEPT_COUNT: Final = 1_024
_TOKEN_LENGTH: Final = 512


def hash_of_token(token: str) -> str:
    """Return what is stored in place of a token. Tokens are random, so a plain hash cannot be guessed back.

    Looking the hash up takes no longer for a token that nearly fits.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class TokenCheck:
    """Checks tokens, and keeps what the store said for a few seconds."""

    def __init__(self, store: ServiceStore, *, is_open: bool) -> None:
        self._store = store
        self._is_open = is_open
        self._kept: dict[str, tuple[float, TokenRecord | None]] = {}

    async def require(self, authorization: str, scope: Scope) -> str:
        """Return the name of the token shown, empty where none is needed.

        Raises:
            UnauthenticatedError: no token, or one that is not known.
            RequestError: 403: the token does not hold the scope.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _TOKEN_LENGTH:
            if not authorization and self._is_open and not await self._store.tokens():
                return ""
            raise UnauthenticatedError("a bearer token is needed")
        grant = await self._grant(hash_of_token(token))
        if grant is None:
            raise UnauthenticatedError("the token is not known, or was revoked")
        if not {scope.value, Scope.ADMIN.value} & grant.scopes:
            raise RequestError(
                403, "missing-scope", f"the token does not hold the scope {scope.value}"
            )
        return grant.name

    async def _grant(self, token_hash: str) -> TokenRecord | None:
        now = time.monotonic()
        kept = self._kept.get(token_hash)
        if kept is not None and kept[0] > now:
            return kept[1]
        grant = await self._store.load_token(token_hash)
        if len(self._kept) >= _KEPT_COUNT:
            self._kept.clear()  # somebody tries many: keep what follows instead
        self._kept[token_hash] = (now + _KEPT_SECONDS, grant)
        return grant


def client_of(request: web.Request, names: Collection[str]) -> str:
    """Return the name of the certificate that the connection was opened with, if it has one of ``names`` (none: any).

    TLS has verified it against ``server.client_ca``; without that nobody is asked for one.
    """
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        return ""
    subject = [
        value
        for part in certificate.get("subject", ())
        for key, value in part
        if key == "commonName"
    ]
    shown = [
        *subject,
        *(value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"),
    ]
    known = [name for name in shown if not names or name in names]
    return known[0] if known else ""
