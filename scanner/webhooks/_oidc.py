"""OpenID Connect tokens, as Google's Pub/Sub sends them: RS256, by keys that somebody else fetched.

Source: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from scanner.errors import UnauthenticatedError

_TOKEN_LENGTH: Final = 8_192
_KEYS_COUNT: Final = 64
_MODULUS_BITS: Final = range(2_048, 8_193)
_LEEWAY_SECONDS: Final = 60
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+\Z")


def verify_oidc(
    token: str,
    keys: Sequence[Mapping[str, Any]],
    *,
    audience: str,
    issuers: Collection[str],
    emails: Collection[str],
    now: float,
) -> None:
    """Return if the token was signed by one of the keys, for us, for one of the accounts, and is valid at ``now``.

    ``keys`` are JSON Web Keys; those that are no RSA keys of 2,048 to 8,192 bits are passed over.
    ``now`` is in seconds since 1970; clocks may differ by a minute.

    Raises:
        UnauthenticatedError: in every other case; the reason says which, and holds nothing of the token.
    """
    if not audience or not issuers or not emails:
        raise UnauthenticatedError("no audience, issuer or account is configured")
    claims = _claims(token, keys)
    if claims.get("iss") not in list(issuers):
        raise UnauthenticatedError("the token is from another issuer")
    if audience not in _audiences(claims.get("aud")):
        raise UnauthenticatedError("the token is for another audience")
    _check_times(claims, now)
    if claims.get("email_verified") is not True or claims.get("email") not in list(emails):
        raise UnauthenticatedError("the token is of another account")


def _claims(token: str, keys: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the payload of a token whose signature is good; the header chooses the key, never the algorithm."""
    parts = token.split(".") if len(token) <= _TOKEN_LENGTH else []
    if len(parts) != 3 or not all(_BASE64URL.match(part) for part in parts):  # noqa: PLR2004 - header, payload, signature
        raise UnauthenticatedError("no token of three parts")
    header = _table(parts[0])
    if header.get("alg") != "RS256" or "crit" in header:
        raise UnauthenticatedError("the token is not signed by RS256")
    signed = f"{parts[0]}.{parts[1]}".encode()
    try:
        _key(keys, header.get("kid")).verify(_decoded(parts[2]), signed, PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise UnauthenticatedError("the token's signature is wrong") from error
    return _table(parts[1])


def _key(keys: Sequence[Mapping[str, Any]], kid: object) -> RSAPublicKey:
    for jwk in keys[:_KEYS_COUNT]:
        if isinstance(kid, str) and jwk.get("kid") == kid:
            found = _rsa_key(jwk)
            if found is not None:
                return found
    raise UnauthenticatedError("no key of this name is known")


def _rsa_key(jwk: Mapping[str, Any]) -> RSAPublicKey | None:
    """Return a key that may be used for RS256 signatures, or None."""
    is_ours = jwk.get("kty") == "RSA" and jwk.get("use", "sig") == "sig"
    if not is_ours or jwk.get("alg", "RS256") != "RS256":
        return None
    modulus, exponent = _number(jwk.get("n")), _number(jwk.get("e"))
    if modulus.bit_length() not in _MODULUS_BITS:
        return None
    try:
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None


def _number(value: object) -> int:
    """Return a number of a key, zero if it is none."""
    if not isinstance(value, str) or len(value) > _TOKEN_LENGTH or not _BASE64URL.match(value):
        return 0
    try:
        return int.from_bytes(_decoded(value), "big")
    except UnauthenticatedError:
        return 0


def _audiences(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    """Raise unless ``iat`` (and ``nbf``, if any) is past and ``exp`` is not."""
    begins = [_seconds(claims[name]) for name in ("iat", "nbf") if name in claims]
    if "iat" not in claims or now < max(begins) - _LEEWAY_SECONDS:
        raise UnauthenticatedError("the token is not valid yet")
    if now > _seconds(claims.get("exp")) + _LEEWAY_SECONDS:
        raise UnauthenticatedError("the token has expired")


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnauthenticatedError("the token does not say when it is valid")
    return value


def _table(part: str) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(_decoded(part))
    except (ValueError, RecursionError) as error:
        raise UnauthenticatedError("the token is not JSON") from error
    if not isinstance(value, dict):
        raise UnauthenticatedError("the token is no JSON object")
    return value


def _decoded(part: str) -> bytes:
    """Return the bytes of base64url without padding; the alphabet is already checked."""
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise UnauthenticatedError("the token is not base64url") from error
