"""TLS settings of OpenSSL, GnuTLS, Java, distributions' policies, nginx, Apache and HAProxy.

Source: https://www.rfc-editor.org/rfc/rfc8996 (TLS 1.0 and 1.1 deprecated), https://www.rfc-editor.org/rfc/rfc7465
(RC4 prohibited), https://docs.openssl.org/3.0/man5/config/, https://nginx.org/en/docs/http/ngx_http_ssl_module.html,
https://httpd.apache.org/docs/2.4/mod/mod_ssl.html and https://docs.haproxy.org/2.8/configuration.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from scanner.analyzers._lines import LineCheck, check_lines, lenient_text
from scanner.model import Finding, Kind, Severity
from scanner.ports import FileAnalyzer, Interest, LayerFile, Output

_FILE_BYTES: Final = 1024 * 1024
_OLD_PROTOCOL: Final = re.compile(r"\+?(?:SSLv2|SSLv3|TLSv1|TLSv1\.0|TLSv1\.1)\Z", re.IGNORECASE)
_BROKEN_PROTOCOL: Final = re.compile(r"\+?SSLv[23]\Z", re.IGNORECASE)
_WEAK_PARTS: Final = frozenset(
    ("RC4", "RC2", "DES", "3DES", "NULL", "ANULL", "ENULL", "COMPLEMENTOFALL",
     "EXPORT", "EXPORT40", "EXPORT56", "EXP", "MD5", "ANON", "ADH", "AECDH", "LOW", "IDEA", "SEED")
)  # fmt: skip
_CIPHER_SEPARATOR: Final = re.compile(r"[:,\s]+")
_NAME_SEPARATOR: Final = re.compile(r"[-_+]")
_SECLEVEL: Final = re.compile(r"@SECLEVEL=([01])\b", re.IGNORECASE)


def weak_ciphers(text: str) -> list[str]:
    """Return the members of an OpenSSL cipher list that switch something weak on (``!x`` and ``-x`` do not)."""
    weak = []
    for member in _CIPHER_SEPARATOR.split(text.strip("\"'; ")):
        if not member or member[0] in "!-":
            continue
        parts = {p.upper() for p in _NAME_SEPARATOR.split(member)}
        if parts & _WEAK_PARTS or _SECLEVEL.search(member):
            weak.append(member)
    return weak


def _arguments_of(keyword: str) -> Callable[[str], str]:
    """Return a reader of what follows ``keyword`` (a regular expression), without the closing semicolon."""
    expression = re.compile(rf"(?:\A|[;{{]\s*)(?:{keyword})(?:\s*=\s*|\s+)(.*)", re.IGNORECASE)

    def read(line: str) -> str:
        found = expression.search(line)
        return found[1].partition(";")[0].strip("\"' ") if found else ""

    return read


def protocols(keyword: str, *, broken: bool) -> Callable[[str], str | None]:
    """Return a matcher for a list of protocols; ``broken`` asks for SSL 2 and 3, else for TLS 1.0 and 1.1."""
    read = _arguments_of(keyword)

    def matches(line: str) -> str | None:
        if not (arguments := read(line)):
            return None
        words = re.split(r"[\s,:]+", arguments)
        is_broken = [w for w in words if _BROKEN_PROTOCOL.match(w)]
        if broken:
            return " ".join(is_broken) or None
        old = [w for w in words if _OLD_PROTOCOL.match(w)]
        return " ".join(old) if old and not is_broken else None

    return matches


def ciphers(keyword: str) -> Callable[[str], str | None]:
    """Return a matcher for a cipher list with weak members."""
    read = _arguments_of(keyword)

    def matches(line: str) -> str | None:
        arguments = read(line)
        return ":".join(weak_ciphers(arguments)) or None if arguments else None

    return matches


def written(expression: str) -> Callable[[str], str | None]:
    """Return a matcher for a line in which ``expression`` occurs."""
    compiled = re.compile(expression, re.IGNORECASE)

    def matches(line: str) -> str | None:
        found = compiled.search(line)
        return found[0] if found else None

    return matches


def unverified_server(line: str) -> str | None:
    """Match a server of HAProxy that is spoken to by TLS without looking at its certificate."""
    words = line.split()
    if words[0] not in {"server", "default-server"} or "ssl" not in words:
        return None
    for at, pair in enumerate(pairwise(words)):
        if pair == ("verify", "none"):
            return " ".join(words[: at + 2])
    return None


def _broken_protocol(matches: Callable[[str], str | None], *words: str) -> LineCheck:
    return LineCheck(
        rule_id="crypto/broken-tls-protocol",
        severity=Severity.HIGH,
        title="SSL 2 or SSL 3 is switched on",
        why="Both are broken (DROWN, POODLE): what they protect can be read.",
        remedy="Allow TLS 1.2 and 1.3 only.",
        matches=matches,
        words=words,
    )


def _old_protocol(matches: Callable[[str], str | None], *words: str) -> LineCheck:
    return LineCheck(
        rule_id="crypto/old-tls-protocol",
        severity=Severity.LOW,
        title="TLS 1.0 or 1.1 is switched on",
        why="Both are deprecated: they rest on MD5 and SHA-1 and lack authenticated encryption.",
        remedy="Allow TLS 1.2 and 1.3 only.",
        matches=matches,
        words=words,
    )


def _cipher_check(matches: Callable[[str], str | None], *words: str) -> LineCheck:
    return LineCheck(
        rule_id="crypto/weak-tls-cipher",
        severity=Severity.MEDIUM,
        title="Weak ciphers are switched on",
        why="RC4, DES, export, anonymous and NULL suites can be read or give no protection at all.",
        remedy="Use the defaults of the library, or a list without them.",
        matches=matches,
        words=words,
    )


def _policy_check(title: str, matches: Callable[[str], str | None], *words: str) -> LineCheck:
    return LineCheck(
        rule_id="crypto/weak-crypto-policy",
        severity=Severity.MEDIUM,
        title=title,
        why="Every program that follows the system's setting accepts keys, signatures and protocols that can be broken.",
        remedy="Go back to the default of the distribution.",
        matches=matches,
        words=words,
    )


def _verification_check(matches: Callable[[str], str | None], *words: str) -> LineCheck:
    return LineCheck(
        rule_id="crypto/tls-verification-off",
        severity=Severity.MEDIUM,
        title="Certificate verification is switched off",
        why="Whoever is on the way can take the server's place and read what is sent.",
        remedy="Verify, and add the missing CA certificate to the trust store.",
        matches=matches,
        words=words,
    )


_OPENSSL: Final = (
    _broken_protocol(protocols(r"(?:\w+\.)?MinProtocol", broken=True), "minprotocol"),
    _old_protocol(protocols(r"(?:\w+\.)?MinProtocol", broken=False), "minprotocol"),
    _cipher_check(ciphers(r"(?:\w+\.)?CipherString"), "cipherstring"),
    _policy_check("The legacy provider of OpenSSL is active", written(r"^legacy\s*=\s*legacy_sect\w*"), "legacy"),
    _policy_check("OpenSSL signs with a broken hash", written(r"^default_md\s*=\s*(?:md[245]|sha1)\b"), "default_md"),
)  # fmt: skip
_NGINX: Final = (
    _broken_protocol(protocols(r"(?:proxy_|grpc_|uwsgi_)?ssl_protocols", broken=True), "ssl_protocols"),
    _old_protocol(protocols(r"(?:proxy_|grpc_|uwsgi_)?ssl_protocols", broken=False), "ssl_protocols"),
    _cipher_check(ciphers(r"(?:proxy_|grpc_|uwsgi_)?ssl_ciphers"), "ssl_ciphers"),
)  # fmt: skip
_APACHE: Final = (
    _broken_protocol(protocols(r"SSL(?:Proxy)?Protocol", broken=True), "sslprotocol", "sslproxyprotocol"),
    _old_protocol(protocols(r"SSL(?:Proxy)?Protocol", broken=False), "sslprotocol", "sslproxyprotocol"),
    _cipher_check(ciphers(r"SSL(?:Proxy)?CipherSuite(?:\s+SSL)?"), "ciphersuite"),
    _verification_check(written(r"^SSLProxyVerify\s+none\b"), "sslproxyverify"),
)  # fmt: skip
_HAPROXY: Final = (
    _broken_protocol(written(r"\bssl-min-ver\s+SSLv3\b|\bforce-sslv3\b"), "sslv3"),
    _old_protocol(written(r"\bssl-min-ver\s+TLSv1\.[01]\b|\bforce-tlsv1[01]\b"), "tlsv1"),
    _cipher_check(ciphers(r"ssl-default-(?:bind|server)-ciphers"), "ssl-default-"),
    _verification_check(unverified_server, "verify"),
)
_GNUTLS: Final = (
    _policy_check(
        "GnuTLS is told to use weak algorithms",
        written(r"\b(?:insecure-hash|LEGACY|%COMPAT)\b.*|\+(?:ARCFOUR-128|3DES-CBC|VERS-SSL3\.0|MD5)\b"),
        "insecure-hash", "legacy", "%compat", "+",
    ),
)  # fmt: skip
_POLICY: Final = (
    _policy_check("The system's crypto policy is LEGACY", written(r"^LEGACY(?:\Z|[:\s])"), "legacy"),
)  # fmt: skip


def _checks(lines: tuple[LineCheck, ...]) -> Callable[[LayerFile], Iterator[Output]]:
    def parse(file: LayerFile) -> Iterator[Output]:
        return check_lines(file, lines, comments="#")

    return parse


def parse_java_security(file: LayerFile) -> Iterator[Output]:
    """Yield a finding where a property that disables weak algorithms is empty or lacks the worst of them."""
    text = re.sub(r"\\\r?\n[ \t]*", "", lenient_text(file))
    wanted = {
        "jdk.tls.disabledAlgorithms": ("SSLv3", "RC4"),
        "jdk.certpath.disabledAlgorithms": ("MD5",),
        "jdk.jar.disabledAlgorithms": ("MD5",),
    }
    for name, worst in wanted.items():
        values = re.findall(rf"^[ \t]*{re.escape(name)}[ \t]*[=:][ \t]*(.*)$", text, re.MULTILINE)
        missing = [w for w in worst if values and not re.search(rf"\b{w}\b", values[-1])]
        if missing:
            yield Finding(
                rule_id="crypto/weak-crypto-policy",
                kind=Kind.CRYPTO,
                severity=Severity.MEDIUM,
                title=f"Java accepts weak algorithms: {name} lacks {', '.join(missing)}",
                why="Every TLS connection or signature check of the JVM accepts what can be broken.",
                remedy=f"Restore the default of {name} in java.security.",
                path=file.path,
                evidence={"property": name, "missing": ",".join(missing)},
                identity=name,
            )


def _analyzer(
    name: str, globs: tuple[str, ...], parse: Callable[[LayerFile], Iterator[Output]], what: str
) -> FileAnalyzer:
    return FileAnalyzer(
        name=f"crypto/{name}-settings",
        version=1,
        interest=Interest(globs=globs),
        parse=parse,
        max_file_bytes=_FILE_BYTES,
        summary=f"weak TLS settings of {what}",
    )


ANALYZERS: Final = (
    _analyzer("openssl", ("**/openssl.cnf", "**/openssl.cnf.d/*"), _checks(_OPENSSL), "OpenSSL"),
    _analyzer(
        "nginx",
        (
            "**/nginx.conf",
            "**/nginx/conf.d/*.conf",
            "**/nginx/sites-enabled/*",
            "**/nginx/sites-available/*",
            "**/nginx/snippets/*",
        ),
        _checks(_NGINX),
        "nginx",
    ),
    _analyzer(
        "apache",
        (
            "**/httpd.conf",
            "**/apache2.conf",
            "**/ssl.conf",
            "**/httpd-ssl.conf",
            "**/sites-enabled/*",
            "**/sites-available/*",
        ),
        _checks(_APACHE),
        "Apache",
    ),
    _analyzer("haproxy", ("**/haproxy.cfg",), _checks(_HAPROXY), "HAProxy"),
    _analyzer("java", ("**/java.security",), parse_java_security, "Java"),
    _analyzer("gnutls", ("etc/gnutls/config",), _checks(_GNUTLS), "GnuTLS"),
    _analyzer(
        "policy",
        ("etc/crypto-policies/config", "etc/crypto-policies/state/current"),
        _checks(_POLICY),
        "the distribution",
    ),
)
