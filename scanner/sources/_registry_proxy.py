"""Which proxy a request goes through, as HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say.

They are read as container tools read them: loopback is never asked for through a proxy, an entry of
NO_PROXY is a domain with all below it, an address, a network or ``*``, perhaps with a port.

Source: https://pkg.go.dev/golang.org/x/net/http/httpproxy
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from scanner.errors import SettingsError
from scanner.ports.source import Proxies

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SCHEMES: Final = ("http", "https")


def read_proxies(environment: Mapping[str, str]) -> Proxies:
    """Return what the environment says. Lower case wins; HTTP_PROXY may be a client's header where this is a CGI script."""

    def value(name: str) -> str:
        upper = "" if name == "http_proxy" and "REQUEST_METHOD" in environment else name.upper()
        return (environment.get(name) or environment.get(upper) or "").strip()

    every = value("all_proxy")
    return Proxies(
        http=value("http_proxy") or every,
        https=value("https_proxy") or every,
        no_proxy=value("no_proxy"),
    )


def proxy_for(url: str, proxies: Proxies) -> str:
    """Return the URL of the proxy for a request; empty where it goes straight.

    Raises:
        SettingsError: the proxy's address is none, or one of SOCKS. The message does not show it: it may hold a password.
    """
    parts = urlsplit(url)
    name = "HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY"
    chosen = proxies.https if parts.scheme == "https" else proxies.http
    host = parts.hostname or ""
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    if not chosen or _goes_straight(host, port, proxies.no_proxy):
        return ""
    return _checked(chosen if "://" in chosen else f"http://{chosen}", name)


def _checked(proxy: str, name: str) -> str:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(name, "not the address of an http or https proxy")
    return proxy


def _goes_straight(host: str, port: int, no_proxy: str) -> bool:
    if host == "localhost" or _is_in(host, "127.0.0.0/8") or _is_in(host, "::1/128"):
        return True
    entries = (entry.strip().lower() for entry in no_proxy.split(","))
    return any(_covers(entry, host, port) for entry in entries if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*" or _is_in(host, entry.strip("[]")):
        return True
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdecimal() and not _is_address(entry):
        if int(digits) != port:
            return False
        entry = name.strip("[]")
    domain = entry.removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
