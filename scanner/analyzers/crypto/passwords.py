"""Password hashes baked into an image, and the setting that decides how new ones are made.

A hash never leaves this module; findings hold its scheme and a SHA-256.
Source: https://man7.org/linux/man-pages/man5/crypt.5.html
and https://man7.org/linux/man-pages/man5/login.defs.5.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from scanner.analyzers._lines import LineCheck, check_lines, lenient_text
from scanner.model import Finding, Kind, Severity
from scanner.ports import FileAnalyzer, Interest, LayerFile, Output

_LINES_COUNT: Final = 100_000
_FIELD_CHARS: Final = 1_024
_DES: Final = re.compile(r"[./0-9A-Za-z]{13}\Z")
_BSDI: Final = re.compile(r"_[./0-9A-Za-z]{19}\Z")
_MODULAR: Final = re.compile(r"\$([0-9a-z-]{1,12})\$(?=.*[./0-9A-Za-z]{8})")


class _Scheme(NamedTuple):
    name: str
    weak: bool


_SCHEMES: Final = {
    "1": _Scheme("MD5", weak=True),
    "3": _Scheme("NTHASH", weak=True),
    "md5": _Scheme("SunMD5", weak=True),
    "sha1": _Scheme("SHA-1", weak=True),
    "2": _Scheme("bcrypt", weak=False),
    "2a": _Scheme("bcrypt", weak=False),
    "2b": _Scheme("bcrypt", weak=False),
    "2x": _Scheme("bcrypt (broken variant)", weak=True),
    "2y": _Scheme("bcrypt", weak=False),
    "5": _Scheme("SHA-256", weak=False),
    "6": _Scheme("SHA-512", weak=False),
    "7": _Scheme("scrypt", weak=False),
    "y": _Scheme("yescrypt", weak=False),
    "gy": _Scheme("gost-yescrypt", weak=False),
}


def scheme_of(hashed: str) -> _Scheme | None:
    """Return the scheme of a crypt(3) hash; None for a locked, empty or shadowed password."""
    if found := _MODULAR.match(hashed):
        return _SCHEMES.get(found[1], _Scheme(f"${found[1]}$", weak=False))
    if _DES.match(hashed):
        return _Scheme("DES", weak=True)
    return _Scheme("BSDi DES", weak=True) if _BSDI.match(hashed) else None


def _evidence(user: str, scheme: _Scheme, hashed: str, *, locked: bool) -> dict[str, str]:
    return {
        "account": user[:100],
        "scheme": scheme.name,
        "locked": "yes" if locked else "no",
        "sha256": hashlib.sha256(hashed.encode("utf-8", "surrogatepass")).hexdigest(),
    }


def _findings(file: LayerFile, line: int, user: str, password: str) -> Iterator[Finding]:
    hashed = password.lstrip("!*")
    scheme = scheme_of(hashed)
    if scheme is None:
        return
    locked = hashed != password
    evidence = _evidence(user, scheme, hashed, locked=locked)
    identity = evidence["sha256"]
    yield Finding(
        rule_id="config/password-hash-in-image",
        kind=Kind.SECRET,
        severity=Severity.LOW if locked else Severity.MEDIUM,
        title=f"The image holds a password of account {user[:100]}",
        why="Everybody who may pull the image can guess at it offline, and every container shares it.",
        remedy=f"Lock the account (passwd -l {user[:100]}) and remove the hash from every layer.",
        path=file.path,
        line=line,
        evidence=evidence | {"cis": "4.10"},
        identity=identity,
    )
    if scheme.weak:
        yield Finding(
            rule_id="crypto/weak-password-hash",
            kind=Kind.CRYPTO,
            severity=Severity.HIGH,
            title=f"Password of account {user[:100]} is hashed with {scheme.name}",
            why="Such hashes are guessed at billions of times a second.",
            remedy="Set a new password hashed with yescrypt or SHA-512, or lock the account.",
            path=file.path,
            line=line,
            evidence=evidence,
            identity=identity,
        )


def parse(file: LayerFile) -> Iterator[Output]:
    """Yield findings for every password hash in a passwd or shadow file; bad lines are left out."""
    for number, line in enumerate(lenient_text(file).splitlines()[:_LINES_COUNT], 1):
        user, colon, rest = line.partition(":")
        password = rest.partition(":")[0]
        if colon and user and len(password) <= _FIELD_CHARS:
            yield from _findings(file, number, user, password)


def _weak_method(line: str) -> str | None:
    words = line.split()
    if words[0] == "ENCRYPT_METHOD" and words[-1].upper() in {"DES", "MD5"}:
        return " ".join(words)
    old = words[0] == "MD5_CRYPT_ENAB" and words[-1].lower() == "yes"
    return " ".join(words) if old else None


_LOGIN_DEFS: Final = (
    LineCheck(
        rule_id="crypto/weak-password-hashing",
        severity=Severity.MEDIUM,
        title="New passwords are hashed with a broken method",
        why="DES and MD5 hashes are guessed at billions of times a second.",
        remedy="Set ENCRYPT_METHOD YESCRYPT (or SHA512) in login.defs.",
        matches=_weak_method,
        words=("encrypt_method", "md5_crypt_enab"),
    ),
)


def parse_login_defs(file: LayerFile) -> Iterator[Output]:
    """Yield a finding where ``ENCRYPT_METHOD`` names DES or MD5."""
    return check_lines(file, _LOGIN_DEFS, comments="#")


ANALYZERS: Final = (
    FileAnalyzer(
        name="crypto/passwords",
        version=1,
        interest=Interest(
            globs=(
                "etc/shadow",
                "etc/shadow-",
                "etc/passwd",
                "etc/passwd-",
                "etc/gshadow",
                "etc/master.passwd",
            )
        ),
        parse=parse,
        max_file_bytes=4 * 1024 * 1024,
        summary="password hashes in shadow and passwd, weak ones above all",
    ),
    FileAnalyzer(
        name="crypto/login-defs",
        version=1,
        interest=Interest(globs=("etc/login.defs", "usr/etc/login.defs")),
        parse=parse_login_defs,
        max_file_bytes=1024 * 1024,
        summary="hashing method of new passwords",
    ),
)
