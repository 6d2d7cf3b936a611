"""Whether a sender is who it should be. Every comparison takes as long for a near miss as for a far one.

Replays are harmless where a push already known changes nothing; only ``oidc`` carries a time, which is checked.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

from scanner.errors import UnauthenticatedError
from scanner.ports.webhook import Credential, CredentialKind, Headers, Signature
from scanner.webhooks._oidc import verify_oidc

_WRONG: Final = "the credential is missing or wrong"


def authenticate(
    expected: Credential,
    signature: Signature | None,
    headers: Headers,
    raw_body: bytes,
    path_token: str,
    *,
    keys: Sequence[Mapping[str, Any]] = (),
    now: float = 0.0,
) -> None:
    """Return if the request shows the expected credential.

    ``signature`` is the source's. ``path_token`` is what follows the source's name in the path, or empty. ``keys``
    (JSON Web Keys) and ``now`` (seconds since 1970) are for ``oidc`` alone; without them no token is right.

    Raises:
        UnauthenticatedError: it shows none, or another; or none could be right.
    """
    if expected.kind is CredentialKind.NONE:
        return
    if expected.kind is CredentialKind.OIDC:
        verify_oidc(
            _after_scheme(headers, "bearer"),
            keys,
            audience=expected.audience,
            issuers=expected.issuers,
            emails=expected.emails,
            now=now,
        )
    elif not expected.secret:
        raise UnauthenticatedError("no secret is configured, so no credential can be right")
    elif not _is_shown(expected, signature, headers, raw_body, path_token):
        raise UnauthenticatedError(_WRONG)


def _is_shown(
    expected: Credential,
    signature: Signature | None,
    headers: Headers,
    raw_body: bytes,
    path_token: str,
) -> bool:
    match expected.kind:
        case CredentialKind.SIGNATURE:
            return _is_signed(_bytes(expected.secret), signature, headers, raw_body)
        case CredentialKind.BEARER:
            return _is_same(_after_scheme(headers, "bearer"), expected.secret)
        case CredentialKind.BASIC:
            return _is_basic(expected, _after_scheme(headers, "basic"))
        case CredentialKind.AUTHORIZATION:
            return _is_same(headers.get("authorization", ""), expected.secret)
        case CredentialKind.HEADER:
            return _is_same(headers.get(expected.header.lower(), ""), expected.secret)
        case CredentialKind.PATH:
            return _is_same(path_token, expected.secret)
        case CredentialKind.NONE | CredentialKind.OIDC:
            return False
        case unknown:
            assert_never(unknown)


def _is_signed(
    secret: bytes, signature: Signature | None, headers: Headers, raw_body: bytes
) -> bool:
    """Whether the header holds the body's HMAC, in the first form whose prefix it has: no weaker one is tried."""
    if signature is None:
        raise UnauthenticatedError("this source does not sign: expect another credential of it")
    shown = headers.get(signature.header, "")
    for prefix, algorithm in signature.forms:
        if shown.startswith(prefix):
            right = hmac.new(secret, raw_body, algorithm).hexdigest()
            return _is_same(shown[len(prefix) :], right)
    return False


def _is_basic(expected: Credential, shown: str) -> bool:
    try:
        decoded = base64.b64decode(shown, validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(decoded, _bytes(f"{expected.username}:{expected.secret}"))


def _after_scheme(headers: Headers, scheme: str) -> str:
    """Return what follows the scheme in Authorization, empty if it has another scheme."""
    shown, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if shown.lower() == scheme else ""


def _is_same(shown: str, right: str) -> bool:
    return hmac.compare_digest(_bytes(shown), _bytes(right))


def _bytes(text: str) -> bytes:
    """Return the text's bytes; headers that are not UTF-8 reach us with halves of surrogate pairs."""
    return text.encode("utf-8", "surrogatepass")
