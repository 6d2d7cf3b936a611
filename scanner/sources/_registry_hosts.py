"""Which hosts a registry may send us to, and which of them may be given credentials.

Source: https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, NoReturn
from urllib.parse import SplitResult, urljoin, urlsplit

from scanner.errors import ForbiddenHostError, UpstreamError

_URL_LENGTH: Final = 16_384
_URL = re.compile(r"[!#-;=?-\[\]_a-z~%]+\Z", re.IGNORECASE)
"""Printable ASCII without quotes, angle brackets and backslashes, on which URL parsers disagree."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = IPv6Network("64:ff9b::/96")
_METADATA: Final = frozenset(map(ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")))
"""Cloud metadata services outside the link-local range."""
_WELL_KNOWN_REALMS: Final = frozenset({("registry-1.docker.io", "auth.docker.io")})
_COUNTRY_CODE_LENGTH: Final = 2
_SECOND_LEVEL_LENGTH: Final = 3
"""``co`` of ``co.uk``, ``com`` of ``com.br``: everyone can register below those."""


class Reach(IntEnum):
    """From how far an address can be reached; a registry may send us as near as itself, not nearer."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3  # cloud metadata services live here


def reach_of(address: str) -> Reach:
    """Return the reach of an IP address; an address that hides an IPv4 address has that one's."""
    ip = _unwrapped(ip_address(address.partition("%")[0]))
    if ip.is_link_local or ip in _METADATA:
        return Reach.LINK_LOCAL
    if ip.is_loopback or ip.is_unspecified:
        return Reach.LOOPBACK
    return Reach.PUBLIC if ip.is_global and not ip.is_multicast else Reach.PRIVATE


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


@dataclass(slots=True)
class HostGuard:
    """Remembers where the registry itself is, and refuses connections to hosts nearer than that."""

    host: str
    """``host[:port]`` of the registry, for messages."""
    _seen: Reach = field(default=Reach.PUBLIC)

    def note(self, address: str) -> None:
        """Remember that the registry answers at this IP address."""
        self._seen = max(self._seen, reach_of(address))

    def check(self, hostname: str, address: str) -> None:
        """Refuse an IP address to which the registry may not send us.

        Raises:
            ForbiddenHostError: it is nearer to this machine than the registry is.
        """
        reach = reach_of(address)
        if reach > self._seen:
            kind = reach.name.lower().replace("_", "-")
            self.refuse(hostname, f"a {kind} address")

    def refuse(self, hostname: str, kind: str) -> NoReturn:
        """Raise ``ForbiddenHostError`` for a host, saying of what kind it is."""
        raise ForbiddenHostError(
            self.host, "follow", f"the registry points to {hostname[:255]}, {kind}"
        )


def split_url(url: str, *, host: str, operation: str) -> SplitResult:
    """Return the parts of an absolute http(s) URL that a registry gave us.

    Raises:
        ForbiddenHostError: another scheme, no host, user information, odd characters, bad port.
    """
    reason = ""
    parts = SplitResult("", "", "", "", "")
    if len(url) > _URL_LENGTH or not _URL.match(url):
        reason = "an address with characters that no address has"
    else:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            reason = "an address that cannot be parsed"
    if not reason and (parts.scheme not in _DEFAULT_PORTS or not parts.hostname):
        reason = f"an address of scheme {parts.scheme[:16]!r}"
    if not reason and "@" in parts.netloc:
        reason = "an address with user information"
    if reason:
        raise ForbiddenHostError(host, operation, f"the registry points to {reason}")
    return parts


def origin(parts: SplitResult) -> tuple[str, str, int]:
    """Return scheme, host and port: credentials never leave it."""
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def is_insecure(parts_or_host: SplitResult | str, insecure_hosts: frozenset[str]) -> bool:
    """Say whether a host may be spoken to over plain http; an entry without port means every port."""
    netloc = parts_or_host if isinstance(parts_or_host, str) else parts_or_host.netloc
    netloc = netloc.lower()
    lowered = {entry.lower() for entry in insecure_hosts}
    return netloc in lowered or re.sub(r":[0-9]+\Z", "", netloc) in lowered


def redirect_target(
    current: str, location: str | None, *, host: str, operation: str, insecure_hosts: frozenset[str]
) -> str:
    """Return the absolute URL that a redirect leads to.

    Raises:
        UpstreamError: no ``Location``.
        ForbiddenHostError: not http(s), or from https to plain http.
    """
    if not location:
        raise UpstreamError(host, operation, "a redirect without a Location")
    try:
        target = urljoin(current, location)
    except ValueError as error:
        raise ForbiddenHostError(host, operation, "a redirect that cannot be parsed") from error
    parts = split_url(target, host=host, operation=operation)
    downgrade = parts.scheme == "http" and current.startswith("https:")
    if downgrade and not is_insecure(parts, insecure_hosts):
        raise ForbiddenHostError(
            host,
            operation,
            f"a redirect from https to plain http at {parts.netloc[:255]}",
            hint=f"--insecure-registry {parts.netloc[:255]} allows it",
        )
    return parts._replace(fragment="").geturl()


def is_trusted_realm(realm: str, registry: str, allowed: frozenset[str]) -> bool:
    """Say whether a token server (``host[:port]``) may be given the registry's credentials.

    It may if it is the registry's host, a parent, child or sibling of its domain, a well-known pair,
    or allowed by name.
    """
    realm, registry = realm.lower(), registry.lower()
    if realm == registry or realm in {entry.lower() for entry in allowed}:
        return True
    realm_name, name = _hostname(realm), _hostname(registry)
    if realm_name in allowed or (name, realm_name) in _WELL_KNOWN_REALMS or realm_name == name:
        return True
    if _is_address(realm_name) or _is_address(name):
        return False
    parent = name.partition(".")[2]
    return realm_name.endswith(f".{name}") or (
        _is_registrable(parent) and (realm_name == parent or realm_name.endswith(f".{parent}"))
    )


def _hostname(netloc: str) -> str:
    return re.sub(r":[0-9]+\Z", "", netloc)


def _is_address(hostname: str) -> bool:
    return hostname.startswith("[") or hostname.replace(".", "").isdecimal()


def _is_registrable(domain: str) -> bool:
    """Guess whether one owner stands behind all of a domain, without the public suffix list."""
    labels = domain.split(".")
    if len(labels) < 2:  # noqa: PLR2004 - a top-level domain
        return False
    country = len(labels[-1]) == _COUNTRY_CODE_LENGTH
    return len(labels) > 2 or not (country and len(labels[0]) <= _SECOND_LEVEL_LENGTH)  # noqa: PLR2004
