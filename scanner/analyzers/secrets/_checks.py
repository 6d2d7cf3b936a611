"""Checks that a rule can name: checksum, structure or kind of a candidate. Each says yes or no.

Source: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from scanner.analyzers.secrets import _keys, _words

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BECH32 = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A confirmed match, before it is believed."""

    secret: bytes
    groups: Mapping[str, bytes | None]
    """Named groups of ``confirm``."""
    before: bytes
    """At most 2,048 bytes before the match."""
    path: str


Check: TypeAlias = Callable[[Candidate], bool]


def decode64(text: bytes) -> bytes:
    """Return base64 (either alphabet, padding optional) decoded; empty if it is not base64."""
    plain = text.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _json_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object, or an empty one for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def base62_crc32(text: bytes) -> bytes:
    """Return the CRC-32 of ``text`` as six base62 digits."""
    number, digits = zlib.crc32(text), b""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit : digit + 1] + digits
    return digits


def crc32_base62(found: Candidate) -> bool:
    """``prefix_`` + random part + CRC-32 of the random part in base62 (GitHub, npm)."""
    body = found.secret.rpartition(b"_")[2]
    return base62_crc32(body[:-6]) == body[-6:]


def macaroon(found: Candidate) -> bool:
    """``pypi-`` + a version 2 macaroon: location, identifier, caveats, 32-byte signature."""
    raw = decode64(found.secret.partition(b"-")[2])
    location = raw[3 : 3 + raw[2]] if len(raw) > 70 and raw[:2] == b"\x02\x01" else b""
    return (
        location in {b"pypi.org", b"test.pypi.org"}
        and raw[3 + len(location)] == 2
        and raw[-34:-32] == b"\x06\x20"
    )


def jwt(found: Candidate) -> bool:
    """A signed JSON web token: header with ``alg``, an object as payload, a signature."""
    header, _, rest = found.secret.partition(b".")
    payload, _, signature = rest.partition(b".")
    algorithm = _json_object(decode64(header)).get("alg")
    return (
        isinstance(algorithm, str)
        and algorithm.lower() != "none"
        and bool(_json_object(decode64(payload)))
        and len(decode64(signature)) >= 32
    )


def jwt_service_role(found: Candidate) -> bool:
    """A JSON web token whose payload has Supabase's role ``service_role``."""
    payload = _json_object(decode64(found.secret.split(b".")[1]))
    return payload.get("role") == "service_role" and jwt(found)


def jwt_kubernetes(found: Candidate) -> bool:
    """A JSON web token of a Kubernetes service account."""
    payload = _json_object(decode64(found.secret.split(b".")[1]))
    return str(payload.get("sub", "")).startswith("system:serviceaccount:") and jwt(found)


def jwt_other(found: Candidate) -> bool:
    """A JSON web token that no other check speaks for."""
    return jwt(found) and not jwt_service_role(found) and not jwt_kubernetes(found)


def base64_json(found: Candidate) -> bool:
    """A prefix, then base64 of a JSON object."""
    text = found.secret[max(0, found.secret.find(b"eyJ")) :]
    return bool(_json_object(decode64(re.split(rb"[_.]", text)[0] if b"_" in text else text)))


def base64_pair(found: Candidate) -> bool:
    """Base64 of ``user:password`` in printable text, the password no placeholder."""
    raw = decode64(found.secret)
    user, colon, password = raw.partition(b":")
    printable = bool(raw) and all(0x20 <= c < 0x7F for c in raw)
    return printable and bool(user and colon) and _words.is_password(password, user)


def base64_key(found: Candidate) -> bool:
    """Base64 of a PEM private key (kubeconfig)."""
    return _keys.holds_pem_key(decode64(found.secret))


def bech32(found: Candidate) -> bool:
    """Human-readable part, ``1``, data with a valid bech32 checksum (age)."""
    text = found.secret.lower()
    name, _, data = text.rpartition(b"1")
    if any(c not in _BECH32 for c in data):
        return False
    values = (
        [c >> 5 for c in name] + [0] + [c & 31 for c in name] + [_BECH32.index(c) for c in data]
    )
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum == 1


def aws_secret(found: Candidate) -> bool:
    """Forty base64 characters, random enough: all three classes, no path, no hex."""
    value = found.secret
    return _words.is_mixed(value) and value.count(b"/") <= 4 and not re.search(rb"[a-z]{12}", value)


def aws_unlabelled(found: Candidate) -> bool:
    """Not written as ``…secret…key = value``: the rule for labelled keys reports those."""
    return not re.search(rb"(?i)secret[^\n]{0,24}key[^\n]{0,12}\Z", found.before[-64:])


def discord(found: Candidate) -> bool:
    """The first part is a snowflake (decimal digits) in base64."""
    return decode64(found.secret.split(b".")[0]).isdigit()


def azure_devops(found: Candidate) -> bool:
    """The signature ``AZDO`` at its fixed place."""
    return found.secret[76:80] == b"AZDO"


def has_digit(found: Candidate) -> bool:
    """At least one decimal digit."""
    return any(0x30 <= c <= 0x39 for c in found.secret)


def mixed(found: Candidate) -> bool:
    """Upper case, lower case and digits."""
    return _words.is_mixed(found.secret)


def password(found: Candidate) -> bool:
    """A password that somebody chose, not a placeholder or code."""
    return _words.is_password(found.secret, found.groups.get("user") or b"")


def url_password(found: Candidate) -> bool:
    """A password in a URL, whose host is not one of documentation, and no token that has a rule."""
    host = (found.groups.get("host") or b"").lower()
    return not _words.is_documentation_host(host) and password(found)


def outside_comment(found: Candidate) -> bool:
    """Not inside an XML comment."""
    return found.before.rfind(b"<!--") <= found.before.rfind(b"-->")


CHECKS: Final[Mapping[str, Check]] = {
    "aws-secret": aws_secret,
    "aws-unlabelled": aws_unlabelled,
    "azure-devops": azure_devops,
    "base64-json": base64_json,
    "base64-key": base64_key,
    "base64-pair": base64_pair,
    "bech32": bech32,
    "crc32-base62": crc32_base62,
    "discord": discord,
    "digit": has_digit,
    "jwt": jwt,
    "jwt-kubernetes": jwt_kubernetes,
    "jwt-other": jwt_other,
    "jwt-service-role": jwt_service_role,
    "key-encrypted": lambda found: _keys.state_of(found.secret) == "encrypted",
    "key-plain": lambda found: _keys.state_of(found.secret) == "plain",
    "macaroon": macaroon,
    "mixed": mixed,
    "openpgp": lambda found: _keys.is_openpgp_secret(found.secret),
    "outside-comment": outside_comment,
    "password": password,
    "putty-key": lambda found: _keys.is_encoded_key(found.secret),
    "random-value": lambda found: _words.is_random_value(
        found.secret, found.groups.get("key") or b""
    ),
    "ssh2-key": lambda found: _keys.state_of(found.secret) != "",
    "strong-value": lambda found: _words.is_strong_value(
        found.secret, found.groups.get("key") or b""
    ),
    "strong-password": lambda found: _words.is_strong_password(
        found.secret, found.groups.get("key") or b""
    ),
    "url-password": url_password,
}
"""Every check by the name that rules use."""
