"""Crypto libraries recognised by the strings they carry, also where they are linked into a program.

A program compiled against OpenSSL may carry the version of its headers without carrying the library (nginx
does), so OpenSSL and LibreSSL count only in files that also hold a string of the library's own code.
Libraries without a version in their bytes (nettle, BoringSSL, libsodium) cannot be told this way.
Source: https://github.com/openssl/openssl/blob/master/crypto/cversion.c and, for the ends of life,
https://openssl-library.org/policies/releasestrat/, https://github.com/Mbed-TLS/mbedtls/blob/development/BRANCHES.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from scanner.model import Finding, Kept, Kind, Package, Severity
from scanner.ports import Hit, ImageAnalyzer, ImageView, Output, Pattern, PatternAnalyzer

_CODE: Final = "crypto-library-code"
_BINARY_HEADS: Final = (
    b"\x7fELF",
    b"MZ",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"!<arch>\n",
)
_BEFORE: Final = 64
_AFTER: Final = 96


class Library(NamedTuple):
    """How a library shows itself: what to look for, and how its version is read around that."""

    name: str
    anchor: str
    version: re.Pattern[bytes]
    needs_code: bool = False
    """Programs carry the string too: :data:`_CODE_STRINGS` must be in the same file."""


LIBRARIES: Final = (
    Library(
        "openssl",
        r"OpenSSL [0-9]\.[0-9]{1,2}\.[0-9]",
        re.compile(
            rb"OpenSSL (\d\.\d{1,2}\.\d{1,2}[a-z]{0,2}(?:-(?:alpha|beta|pre|dev)\d*)?)(?:[-+][a-z]\w*)? {1,2}\d{1,2} [A-Z][a-z]{2} \d{4}\b"
        ),
        needs_code=True,
    ),
    Library("libressl", r"LibreSSL [0-9]\.[0-9]\.[0-9]",
            re.compile(rb"\0LibreSSL (\d\.\d\.\d{1,2})\0"), needs_code=True),
    Library("aws-lc", r"AWS-LC [0-9]{1,2}\.[0-9]{1,3}\.[0-9]",
            re.compile(rb"compatible; AWS-LC (\d{1,2}\.\d{1,3}\.\d{1,3})\)")),
    Library("gnutls", r"Enabled GnuTLS [0-9]\.[0-9]{1,2}\.[0-9]",
            re.compile(rb"Enabled GnuTLS (\d\.\d{1,2}\.\d{1,2}) logging")),
    Library("libgcrypt", r"This is Libgcrypt [0-9]\.[0-9]{1,2}\.[0-9]",
            re.compile(rb"This is Libgcrypt (\d\.\d{1,2}\.\d{1,2}(?:-beta\d+)?) - The GNU Crypto Library")),
    Library("mbedtls", r"[Mm]bed TLS [0-9]\.[0-9]{1,2}\.[0-9]",
            re.compile(rb"\0[Mm]bed TLS (\d\.\d{1,2}\.\d{1,2})\0")),
    Library("wolfssl", r"wolfSSL [0-9]\.[0-9]{1,2}\.[0-9]",
            re.compile(rb"\0wolfSSL (\d\.\d{1,2}\.\d{1,2})\0")),
    Library("nss", r"Version: NSS [0-9]\.[0-9]{1,3}",
            re.compile(rb"Version: NSS (\d\.\d{1,3}(?:\.\d{1,2})?)\0")),
    Library("botan", r"Botan [0-9]\.[0-9]{1,2}\.[0-9]",
            re.compile(rb"\0Botan (\d\.\d{1,2}\.\d{1,2}) \((?:un)?released?,")),
    Library("libtomcrypt", r"LibTomCrypt [0-9]\.[0-9]{2}\.[0-9]",
            re.compile(rb"LibTomCrypt (\d\.\d{2}\.\d{1,2}) \(www\.libtom\.net\)")),
    Library("libssh2", r"SSH-2\.0-libssh2_[0-9]\.[0-9]{1,2}\.[0-9]",
            re.compile(rb"SSH-2\.0-libssh2_(\d\.\d{1,2}\.\d{1,2})(?=[\0\r])")),
    Library("libssh", r"SSH-2\.0-libssh_[0-9]\.[0-9]{1,2}\.[0-9]",
            re.compile(rb"SSH-2\.0-libssh_(\d\.\d{1,2}\.\d{1,2})(?=[\0\r])")),
    Library("dropbear", r"SSH-2\.0-dropbear_20[0-9]{2}\.[0-9]{2}",
            re.compile(rb"SSH-2\.0-dropbear_(20\d{2}\.\d{2})(?=[\0\r])")),
)  # fmt: skip
_BY_PATTERN: Final = {f"crypto/library-{library.name}": library for library in LIBRARIES}
_CODE_STRINGS: Final = (
    r'(OPENSSLDIR: "|\x00OpenSSL PKCS#1 RSA|Eric Young\x27s PKCS#1 RSA| part of OpenSSL [01]\.)'
)
_NSS_MAIN: Final = re.compile(r"(?:.*/)?lib(?:smime3|ssl3|nssutil3|nssdbm3|softokn3|freebl\w*)\.so")
"""NSS comes in nine files of one version; the others are named by libnss3."""


class EndOfLife(NamedTuple):
    """A line of releases that gets no more fixes."""

    name: str
    line: tuple[int, ...]
    """The first numbers of its versions."""
    ended: date
    source: str


_OPENSSL_PAGE: Final = "https://openssl-library.org/policies/releasestrat/"
_MBED_PAGE: Final = "https://github.com/Mbed-TLS/mbedtls/blob/development/BRANCHES.md"
_BOTAN_PAGE: Final = "https://botan.randombit.net/handbook/support.html"
ENDS_OF_LIFE: Final = (
    EndOfLife("openssl", (0, 9), date(2015, 12, 31), _OPENSSL_PAGE),
    EndOfLife("openssl", (1, 0, 0), date(2015, 12, 31), _OPENSSL_PAGE),
    EndOfLife("openssl", (1, 0, 1), date(2016, 12, 31), _OPENSSL_PAGE),
    EndOfLife("openssl", (1, 0, 2), date(2019, 12, 31), _OPENSSL_PAGE),
    EndOfLife("openssl", (1, 1, 0), date(2019, 9, 11), _OPENSSL_PAGE),
    EndOfLife("openssl", (1, 1, 1), date(2023, 9, 11), _OPENSSL_PAGE),
    EndOfLife("openssl", (3, 0), date(2026, 9, 7), _OPENSSL_PAGE),
    EndOfLife("openssl", (3, 1), date(2025, 3, 14), _OPENSSL_PAGE),
    EndOfLife("openssl", (3, 2), date(2025, 11, 23), _OPENSSL_PAGE),
    EndOfLife("openssl", (3, 3), date(2026, 4, 9), _OPENSSL_PAGE),
    EndOfLife("openssl", (3, 4), date(2026, 10, 22), _OPENSSL_PAGE),
    EndOfLife("mbedtls", (2, 7), date(2021, 2, 28), _MBED_PAGE),
    EndOfLife("mbedtls", (2, 16), date(2021, 12, 31), _MBED_PAGE),
    EndOfLife("mbedtls", (2,), date(2025, 3, 31), _MBED_PAGE),
    EndOfLife("botan", (1,), date(2018, 12, 31), _BOTAN_PAGE),
    EndOfLife("botan", (2,), date(2024, 12, 31), _BOTAN_PAGE),
)  # fmt: skip


def inspect_hit(hit: Hit) -> Iterator[Output]:
    """Keep the version of a library that a binary file carries, or the fact that its code is there."""
    if not hit.head.startswith(_BINARY_HEADS):
        return
    library = _BY_PATTERN.get(hit.pattern)
    if library is None:
        yield Kept(key=_CODE, path=hit.path, data=b"openssl")
        return
    found = library.version.search(hit.window)
    if found and found.start() < hit.end and not (
        library.name == "nss" and _NSS_MAIN.match(hit.path)
    ):  # fmt: skip
        yield Kept(key=hit.pattern, path=hit.path, data=found[1])


def end_of_life(name: str, version: str) -> EndOfLife | None:
    """Return the end of life of a version's line, if it is known to have one."""
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
    lines = (e for e in ENDS_OF_LIFE if e.name == name)
    return next((e for e in lines if numbers[: len(e.line)] == e.line), None)


def _is_maintained_by_distribution(view: ImageView, name: str, version: str) -> bool:
    """Whether the distribution has installed this version: then it is the one that fixes it."""
    number = re.match(r"[\d.]+", version)
    return number is not None and any(
        p.from_distribution
        and name in f"{p.source_name} {p.name}"
        and p.version.rpartition(":")[2].startswith(number[0].rstrip("."))
        for p in view.packages
    )


def _end_finding(package: Package, end: EndOfLife) -> Finding:
    return Finding(
        rule_id="crypto/library-end-of-life",
        kind=Kind.CRYPTO,
        severity=Severity.MEDIUM,
        title=f"{package.name} {package.version} gets no more fixes",
        why="Flaws found since its end of life stay open, in the code that everything else trusts.",
        remedy="Rebuild with a supported release, or take the program from somewhere that does.",
        path=package.path,
        package=package.purl,
        evidence={
            "version": package.version,
            "ended": end.ended.isoformat(),
            "source": end.source,
        },
        identity=package.version,
    )


def packages(view: ImageView) -> Iterator[Package]:
    """Yield the libraries of the image, by library and path."""
    with_code = {kept.path for kept in view.kept(_CODE)}
    for pattern, library in _BY_PATTERN.items():
        seen = {(kept.path, kept.data.decode("ascii", "replace")) for kept in view.kept(pattern)}
        for path, version in sorted(seen):
            if not library.needs_code or path in with_code:
                yield Package(purl_type="generic", name=library.name, version=version, path=path)


def judge_at(view: ImageView, today: date) -> Iterator[Output]:
    """Yield the libraries, and a finding for those past their end of life that no distribution looks after."""
    for package in packages(view):
        yield package
        end = end_of_life(package.name, package.version)
        if end is None or end.ended > today:
            continue
        if not _is_maintained_by_distribution(view, package.name, package.version):
            yield _end_finding(package, end)


def inspect(view: ImageView) -> Iterator[Output]:
    """Yield libraries and findings as of today."""
    return judge_at(view, datetime.now(UTC).date())


ANALYZERS: Final = (
    PatternAnalyzer(
        name="crypto/library-strings",
        version=1,
        patterns=(
            *(
                Pattern(id=name, expression=library.anchor, before=_BEFORE, after=_AFTER)
                for name, library in _BY_PATTERN.items()
            ),
            Pattern(id=_CODE, expression=_CODE_STRINGS, before=_BEFORE, after=0),
        ),
        inspect=inspect_hit,
        summary="versions of crypto libraries in binaries",
    ),
    ImageAnalyzer(
        name="crypto/libraries",
        version=1,
        inspect=inspect,
        summary="crypto libraries, also statically linked, and their ends of life",
        purl_types=("generic",),
    ),
)
