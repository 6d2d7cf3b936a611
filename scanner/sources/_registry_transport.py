"""Connections with time-outs on everything, to hosts that the guard lets through.

Source: https://urllib3.readthedocs.io/en/stable/advanced-usage.html
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from scanner import __version__
from scanner.errors import SettingsError
from scanner.ports.source import Proxies
from scanner.sources._registry_hosts import HostGuard
from scanner.sources._registry_proxy import proxy_for


class PlainSession(requests.Session):
    """A session that takes nothing from the environment, keeps no cookies and follows no redirect."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"User-Agent": f"scanner/{__version__}", "Accept-Encoding": "identity"})

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        """Say that there is none: requests would read all of the reply, and parse where it leads."""
        return


class GuardedAdapter(HTTPAdapter):
    """Sends with time-outs; every peer address goes through a check, whatever its name resolves to."""

    def __init__(
        self,
        guard: HostGuard,
        *,
        is_registry: bool,
        timeout_seconds: tuple[float, float],
        ca_file: Path | None,
        proxies: Proxies,
    ) -> None:
        self._guard = guard
        self._is_registry = is_registry
        self._proxies = proxies
        self._pools = _guarded_pools(guard, is_registry=is_registry)
        self._timeout_seconds = timeout_seconds
        self._ca_file = ca_file
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool manager; the user's CA counts in addition to the public ones."""
        if self._ca_file is not None:
            kwargs["ssl_context"] = _context(self._ca_file)
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Return the pool manager of a proxy; the user's CA counts there, too."""
        if self._ca_file is not None:
            context = _context(self._ca_file)
            proxy_kwargs |= {"ssl_context": context, "proxy_ssl_context": context}
        return super().proxy_manager_for(proxy, **proxy_kwargs)

    def send(  # noqa: PLR0917 - the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - ours count
    ) -> requests.Response:
        """Send with our time-outs where the caller names none, through our proxy if there is one."""
        url = request.url or ""
        proxy = proxy_for(url, self._proxies)
        if proxy:
            self._check_proxied(urlsplit(url))
        return super().send(
            request,
            stream=stream,
            timeout=timeout or self._timeout_seconds,
            verify=verify,
            cert=cert,
            proxies={url.partition(":")[0]: proxy} if proxy else {},
        )

    def _check_proxied(self, target: SplitResult) -> None:
        """Check a host to which the proxy is to connect in our place.

        Only the proxy may know its name; then its certificate has to prove it.
        """
        host = target.hostname or ""
        if self._is_registry:
            with contextlib.suppress(ValueError):
                self._guard.note(str(ip_address(host)))
            return
        try:
            found = socket.getaddrinfo(host, target.port, type=socket.SOCK_STREAM)
        except OSError:
            if target.scheme != "https":
                self._guard.refuse(host, "a host that only the proxy knows, over plain http")
            return
        for *_, address in found:
            self._guard.check(host, str(address[0]))


def _context(ca_file: Path) -> Any:
    context = create_urllib3_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise SettingsError(str(ca_file), "not a readable file of PEM certificates") from error
    return context


def _guarded_pools(guard: HostGuard, *, is_registry: bool) -> dict[str, type[HTTPConnectionPool]]:
    """Return urllib3 pools by scheme; the registry's own note its address, all others are checked."""

    def before(hostname: str, port: int) -> None:
        if is_registry:
            return
        for *_, address in socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM):
            guard.check(hostname, str(address[0]))

    def after(hostname: str, connected: socket.socket) -> None:
        address = str(connected.getpeername()[0])
        if is_registry:
            guard.note(address)
            return
        try:
            # Again, because the name may have been resolved to something else in between.
            guard.check(hostname, address)
        except BaseException:
            connected.close()
            raise

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            before(self.host, self.port)
            connected = super()._new_conn()
            after(self.host, connected)
            return connected

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            before(self.host, self.port)
            connected = super()._new_conn()
            after(self.host, connected)
            return connected

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
