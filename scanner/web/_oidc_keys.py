"""The keys of identity providers, fetched when a token asks for one and kept for as long as they say.

Source: https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from scanner.decoding import decode_json

_LOG: Final = logging.getLogger(__name__)
GOOGLE: Final = "https://www.googleapis.com/oauth2/v3/certs"
"""The keys of ``accounts.google.com``. A token's issuer never decides where keys come from: this list does."""
_DOCUMENT_BYTES: Final = 256 * 1024
_FETCH_SECONDS: Final = 5.0
_LEAST_SECONDS: Final = 60.0
"""Nothing is fetched more often, whatever tokens are shown."""
_DEFAULT_SECONDS: Final = 3_600.0
_LONGEST_SECONDS: Final = 86_400.0
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})(?:$|[,\s])")

Keys = Sequence[Mapping[str, Any]]


class OidcKeys:
    """JSON Web Keys of one provider. What was fetched stays in use while the provider cannot be reached."""

    def __init__(self, url: str = GOOGLE, *, tls: ssl.SSLContext | None = None) -> None:
        if not url.startswith("https://"):
            raise ValueError("keys are fetched over https only")
        self._url = url
        self._tls = tls
        self._keys: Keys = ()
        self._fetched_at = float("-inf")
        self._good_until = float("-inf")
        self._lock = asyncio.Lock()

    async def keys(self, *, anew: bool = False) -> Keys:
        """Return the keys, empty if they never could be fetched.

        ``anew`` asks the provider although the kept ones are not out of date: it has changed its keys.
        """
        if self._is_enough(anew=anew):
            return self._keys
        async with self._lock:
            if not self._is_enough(anew=anew):
                await self._fetch()
                self._fetched_at = time.monotonic()
        return self._keys

    def _is_enough(self, *, anew: bool) -> bool:
        now = time.monotonic()
        is_fresh = now < self._good_until and not anew
        return is_fresh or now < self._fetched_at + _LEAST_SECONDS

    async def _fetch(self) -> None:
        try:
            self._keys, seconds = await self._fetched()
        except (ClientError, TimeoutError, ValueError, RecursionError) as error:
            _LOG.warning(
                "keys of senders' tokens not fetched", extra={"kind": type(error).__name__}
            )
            return
        self._good_until = time.monotonic() + seconds

    async def _fetched(self) -> tuple[Keys, float]:
        """Return the provider's keys and for how many seconds they are good."""
        timeout = ClientTimeout(total=_FETCH_SECONDS)
        async with (
            ClientSession(timeout=timeout, trust_env=True) as client,
            # No redirect is followed: the list of places ends with the one above.
            client.get(self._url, allow_redirects=False, ssl=self._tls or True) as response,
        ):
            if response.status != 200:  # noqa: PLR2004
                raise ValueError("not 200")
            body = await response.content.read(_DOCUMENT_BYTES + 1)
            while len(body) <= _DOCUMENT_BYTES and (
                more := await response.content.read(_DOCUMENT_BYTES)
            ):
                body += more
            if len(body) > _DOCUMENT_BYTES:
                raise ValueError("too large")
            return _keys_of(body), _seconds_of(response.headers.get("Cache-Control", ""))


def _keys_of(body: bytes) -> Keys:
    keys = decode_json(body, dict[str, Any]).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ValueError("no list of keys")
    return tuple(keys)


def _seconds_of(cache_control: str) -> float:
    found = _MAX_AGE.search(cache_control.lower())
    seconds = float(found[1]) if found else _DEFAULT_SECONDS
    return min(max(seconds, _LEAST_SECONDS), _LONGEST_SECONDS)
