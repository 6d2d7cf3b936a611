"""Make text that a rule must find, from the rule's own expression: no live-looking secret is committed."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import zlib
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scanner.analyzers.secrets._rules import Rule

PRINTABLE = [c for c in string.printable if c not in "\x0b\x0c"]
CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_SPACE": string.ascii_letters + string.digits,
}
PATHS = {
    "secret/npmrc-auth": "root/.npmrc",
    "secret/composer-auth": "root/.composer/auth.json",
    "secret/maven-server-password": "root/.m2/settings.xml",
    "secret/pypirc-password": "root/.pypirc",
    "secret/pgpass-password": "root/.pgpass",
    "secret/mysql-option-password": "root/.my.cnf",
    "secret/rclone-password": "root/.config/rclone/rclone.conf",
    "secret/shadow-password-hash": "etc/shadow",
    "secret/htpasswd-hash": "etc/nginx/.htpasswd",
    "secret/generic-password": "app/.env",
    "secret/dockerfile-secret": "app/Dockerfile",
}

NAMED = {"secret/generic-password", "secret/dockerfile-secret", "secret/php-defined-secret"}
"""Rules that look at the name a value is given."""


def generate(expression: str, rng: random.Random, forced: dict[str, str] | None = None) -> str:
    """Return text that ``expression`` matches; named groups in ``forced`` get that text."""
    parsed = _parser.parse(expression)
    names = {number: name for name, number in parsed.state.groupdict.items()}
    seen: dict[int, str] = {}

    def of(items: Any) -> str:
        return "".join(one(str(op), value) for op, value in items)

    def one(op: str, value: Any) -> str:
        if op == "LITERAL":
            return chr(value)
        if op == "NOT_LITERAL":
            return rng.choice([c for c in string.ascii_letters if ord(c) != value])
        if op == "ANY":
            return "a"
        if op == "IN":
            return rng.choice(members(value))
        if op in {"MAX_REPEAT", "MIN_REPEAT"}:
            low, _high, inner = value
            return "".join(of(inner) for _ in range(low))
        if op == "SUBPATTERN":
            number, inner = value[0], value[3]
            name = names.get(number, "")
            seen[number] = forced[name] if forced and name in forced else of(inner)
            return seen[number]
        if op == "BRANCH":
            return of(rng.choice(value[1]))
        if op == "GROUPREF":
            return seen[value]
        if op in {"ASSERT", "ASSERT_NOT", "AT"}:
            return ""
        raise AssertionError(op)

    return of(parsed)


def members(items: Any) -> list[str]:
    """Return the characters of a class, plain letters and digits where it is a negated one."""
    chars: list[str] = []
    negated = False
    for op, value in items:
        if str(op) == "NEGATE":
            negated = True
        elif str(op) == "LITERAL":
            chars.append(chr(value))
        elif str(op) == "RANGE":
            chars += [chr(c) for c in range(value[0], value[1] + 1)]
        elif str(op) == "CATEGORY":
            chars += CATEGORIES[str(value)]
    if negated:
        return [c for c in string.ascii_letters + string.digits if c not in chars]
    return chars


def base62(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(count))


def with_crc(prefix: str, body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = alphabet[digit] + digits
    return prefix + body + digits


def b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def jwt(rng: random.Random, **claims: str) -> str:
    header = b64url(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    payload = b64url(json.dumps({"iat": 1700000000, **claims}).encode())
    return f"{header}.{payload}.{b64url(rng.randbytes(32))}"


def macaroon(rng: random.Random, host: bytes = b"pypi.org") -> str:
    raw = b"\x02\x01" + bytes([len(host)]) + host + b"\x02\x24" + rng.randbytes(36)
    raw += b"\0\x02\x1f" + rng.randbytes(31) + b"\0\0\x06\x20" + rng.randbytes(32)
    return "pypi-" + b64url(raw)


def pem(password: bytes = b"", *, form: str = "PKCS8") -> str:
    """Return a fresh EC key in PEM; ``form`` is PKCS8, TraditionalOpenSSL or OpenSSH."""
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), how)
        .decode()
    )


def age_key(rng: random.Random) -> str:
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    name, data = "age-secret-key-", [rng.randrange(32) for _ in range(52)]
    values = [ord(c) >> 5 for c in name] + [0] + [ord(c) & 31 for c in name] + data + [0] * 6
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= g if top >> bit & 1 else 0
    data += [(state ^ 1) >> 5 * (5 - i) & 31 for i in range(6)]
    return (name + "1" + "".join(alphabet[d] for d in data)).upper()


def pgp(rng: random.Random) -> str:
    body = base64.encodebytes(b"\x95\x03\xbe" + rng.randbytes(900)).decode()
    kind = "PGP PRIVATE KEY " + "BLOCK"
    return f"-----BEGIN {kind}-----\n\n{body}=aB3d\n-----END {kind}-----\n"


def _whole(rule: Rule, rng: random.Random) -> str:
    """Return the complete text for rules whose checks want more than a shape; empty for others."""
    makers = {
        "secret/github-token": lambda: with_crc("gh" + rng.choice("pousr") + "_", base62(rng, 30)),
        "secret/github-long-token": lambda: with_crc("ghr_", base62(rng, 70)),
        "secret/npm-token": lambda: with_crc("npm_", base62(rng, 30)),
        "secret/pypi-upload-token": lambda: macaroon(rng),
        "secret/private-key": lambda: pem(
            form=rng.choice(["PKCS8", "TraditionalOpenSSL", "OpenSSH"])
        ),
        "secret/encrypted-private-key": lambda: pem(b"pass phrase"),
        "secret/pgp-private-key": lambda: pgp(rng),
        "secret/age-secret-key": lambda: age_key(rng),
        "secret/supabase-service-key": lambda: jwt(rng, role="service_role", iss="supabase"),
        "secret/kubernetes-service-account-token": lambda: jwt(
            rng, sub="system:serviceaccount:a:b"
        ),
        "secret/json-web-token": lambda: jwt(rng, sub="1f0e", name="somebody"),
        "secret/gcp-service-account-key": lambda: json.dumps(
            {
                "type": "service_account",
                "private_key_id": rng.randbytes(20).hex(),
                "private_key": pem(),
            }
        ),
        "secret/ssh2-private-key": lambda: (
            "---- BEGIN SSH2 ENCRYPTED PRIVATE "
            "KEY ----\nComment: x\n"
            + base64.encodebytes(b"\x3f\x6f\xf9\xeb" + rng.randbytes(300)).decode()
            + "---- END SSH2 ENCRYPTED PRIVATE "
            + "KEY ----\n"
        ),
        "secret/azure-devops-token": lambda: (
            f"{base62(rng, 52)}JQQJ99{base62(rng, 18)}AZDO{base62(rng, 4)}"
        ),
        "secret/aws-secret-near-key-id": lambda: (
            f"id AKIA{generate('[A-Z2-7]{16}', rng)}\n  {generate('[A-Za-z0-9/+]{40}', rng)}\n"
        ),
        "secret/putty-private-key": lambda: (
            "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: k\nPublic-Lines: 2\nAAAA\n"
            f"Private-Lines: 1\n{base64.b64encode(rng.randbytes(36)).decode()}\nPrivate-MAC: 00\n"
        ),
    }
    maker = makers.get(rule.id)
    return maker() if maker else ""


def _forced(rule: Rule, rng: random.Random) -> dict[str, str]:
    """Return texts for named groups that a check looks into."""
    word = "".join(rng.choice(string.ascii_lowercase) for _ in range(7))
    forced = {"host": "db7.corp-internal.net", "user": "svc_orders", "key": "orders_secret"}
    if rule.is_password or "strong-value" in rule.check:
        forced |= {"secret": f"{word.capitalize()}{rng.randrange(1000, 9999)}!{base62(rng, 8)}"}
    if rule.id in NAMED:
        forced["key"] = "DB_PASSWORD"
    if "base64-pair" in rule.check:
        forced["secret"] = base64.b64encode(f"robot:{base62(rng, 20)}".encode()).decode()
    if "base64-key" in rule.check:
        forced["secret"] = base64.b64encode(pem().encode()).decode()
    return forced


def sample(rule: Rule, rng: random.Random) -> tuple[str, str]:
    """Return (path, text): a file that ``rule`` must find exactly one secret in."""
    text = _whole(rule, rng)
    if not text and "base64-json" in rule.check:
        prefix = rule.anchor.partition("eyJ")[0]
        claims = {"k": base62(rng, 32), "n": "deploy", "id": 1}
        text = prefix + base64.b64encode(json.dumps(claims).encode().replace(b" ", b"")).decode()
    if not text and "discord" in rule.check:
        user = b64url(str(rng.randrange(10**17, 10**18)).encode())
        text = f"{user}.{generate('[A-Za-z0-9_-]{6}', rng)}.{generate('[A-Za-z0-9_-]{38}', rng)}"
    if not text:
        text = generate(re.sub(r"\(\?[mi]:\^\)", "", rule.confirm), rng, _forced(rule, rng))
    lead = f"# {rule.keywords[0]}\n" if rule.keywords else "# settings\n"
    return PATHS.get(rule.id, "app/settings.conf"), f"{lead}{text}\n"
