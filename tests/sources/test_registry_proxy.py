"""Proxies of the environment: who is asked through one, and what never reaches it."""

from __future__ import annotations

import base64
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from support.faulty_registry import FaultyRegistry, Reply, error_reply, redirect
from support.registry_samples import APP, BACKOFF, LAYER_PATH, NAME, read_all

from scanner.errors import ForbiddenHostError, SettingsError, UpstreamError
from scanner.ports import Proxies
from scanner.sources._registry_proxy import proxy_for, read_proxies
from scanner.sources.registry import open_registry

HOST = "registry.test"
USER = base64.b64encode(b"proxy-user:proxy-pass").decode()


@pytest.mark.parametrize(
    ("environment", "want"),
    [
        pytest.param({}, Proxies(), id="none"),
        pytest.param({"HTTP_PROXY": "a", "HTTPS_PROXY": "b"}, Proxies("a", "b"), id="upper"),
        pytest.param({"http_proxy": "a", "HTTP_PROXY": "b"}, Proxies("a"), id="lower_wins"),
        pytest.param({"ALL_PROXY": "a", "https_proxy": "b"}, Proxies("a", "b"), id="all"),
        pytest.param({"NO_PROXY": "x, y"}, Proxies(no_proxy="x, y"), id="none_for"),
        pytest.param({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, Proxies(), id="header_of_cgi"),
    ],
)
def test_environment(environment, want):
    assert read_proxies(environment) == want


def test_passwords_are_not_shown():
    assert "pass" not in repr(Proxies("http://u:pass@p", "http://u:pass@p"))


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_straight"),
    [
        ("", "https://a.test/", False),
        ("", "http://localhost:5000/", True),
        ("", "http://127.8.9.1/", True),
        ("", "http://[::1]/", True),
        ("*", "https://a.test/", True),
        ("a.test", "https://a.test/", True),
        ("A.test", "https://a.test/", True),
        ("a.test", "https://b.a.test/", True),
        (".a.test", "https://b.a.test/", True),
        ("*.a.test", "https://b.a.test/", True),
        ("a.test", "https://ba.test/", False),
        ("b.test, a.test", "https://a.test/", True),
        ("a.test:443", "https://a.test/", True),
        ("a.test:444", "https://a.test/", False),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.1.2.3", "https://10.1.2.3/", True),
        ("10.1.2.3:443", "https://10.1.2.3/", True),
        ("10.1.2.4", "https://10.1.2.3/", False),
        ("fd00::/8", "https://[fd00::1]/", True),
        ("[fd00::1]", "https://[fd00::1]/", True),
        ("[fd00::1]:444", "https://[fd00::1]/", False),
        (",., ,:", "https://a.test/", False),
    ],
)
def test_no_proxy(no_proxy, url, is_straight):
    proxies = Proxies("http://p.test:1", "http://p.test:2", no_proxy)
    used = "http://p.test:2" if url.startswith("https") else "http://p.test:1"
    assert proxy_for(url, proxies) == ("" if is_straight else used)


@pytest.mark.parametrize(
    ("proxy", "want"),
    [("p.test:1", "http://p.test:1"), ("https://u:p@p.test", "https://u:p@p.test")],
)
def test_addresses_of_proxies(proxy, want):
    assert proxy_for("https://a.test/", Proxies(https=proxy)) == want


@pytest.mark.parametrize("proxy", ["socks5://u:hidden@p", "http://", "http://u:hidden@p:x", "://"])
def test_what_is_no_proxy(proxy):
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        proxy_for("https://a.test/", Proxies(https=proxy))
    assert "hidden" not in str(caught.value)


@pytest.fixture
def proxy(other: FaultyRegistry, server: FaultyRegistry) -> FaultyRegistry:
    """Return a proxy through which ``registry.test`` is what ``server`` serves."""

    def forward(seen):
        parts = urlsplit(seen.path)
        return server.answer(replace(seen, path=parts.path)) if parts.hostname == HOST else None

    other.gate = forward
    return other


@pytest.fixture
def through(proxy, options):
    """Return a function that opens the image through the proxy."""

    def open_(**more):
        url = f"http://proxy-user:proxy-pass@{proxy.host}"
        given = {"insecure_hosts": frozenset({HOST}), "proxies": Proxies(url, url)}
        return open_registry(f"{HOST}/{NAME}:1", options(**(given | more)), backoff=BACKOFF)

    return open_


def test_plain_http_goes_through_the_proxy(through, proxy, server):
    with through() as source:
        assert source.root()[0].digest == APP.digest
    assert {seen.path.partition("/v2/")[0] for seen in proxy.seen} == {f"http://{HOST}"}
    assert {seen.headers["Proxy-Authorization"] for seen in proxy.seen} == {f"Basic {USER}"}


def test_credentials_of_the_registry_are_not_the_proxys(through, proxy):
    refused = error_reply(401, "UNAUTHORIZED", "log in", WWW_Authenticate='Basic realm="x"')
    server_gate = proxy.gate
    proxy.gate = lambda seen: server_gate(seen) if seen.authorization else refused
    with through(username="me", password="registry-pass") as source:
        source.root()
    asked = [
        (s.authorization.partition(" ")[0], s.headers["Proxy-Authorization"]) for s in proxy.seen
    ]
    assert asked == [("", f"Basic {USER}"), ("Basic", f"Basic {USER}")]


def test_https_asks_for_a_tunnel_without_credentials(through, proxy):
    proxy.gate = lambda _seen: Reply(407)
    with (
        through(insecure_hosts=frozenset(), username="me", password="registry-pass") as source,
        pytest.raises(UpstreamError) as caught,
    ):
        source.root()
    assert caught.value.reason == "the proxy: HTTP 407"
    assert "NO_PROXY" in caught.value.hint
    assert "proxy-pass" not in str(caught.value)
    assert {(s.method, s.path, s.authorization) for s in proxy.seen} == {
        ("CONNECT", f"{HOST}:443", "")
    }


def test_no_proxy_and_loopback_go_straight(server, proxy, options):
    url = f"http://{proxy.host}"
    with open_registry(
        f"{server.host}/{NAME}:1", options(proxies=Proxies(url, url)), backoff=BACKOFF
    ) as source:
        source.root()
    assert server.seen
    assert not proxy.seen


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest",
        "http://10.0.0.1/x",
        "http://127.0.0.1:1/x",
        "http://name-that-only-the-proxy-knows.invalid/x",
    ],
)
def test_a_registry_sends_nobody_through_the_proxy_to_hosts_near_it(target, through, server, proxy):
    server.script(LAYER_PATH, *[redirect(target)] * 4)
    with through() as source, pytest.raises(ForbiddenHostError):
        read_all(source)
    assert {urlsplit(seen.path).hostname for seen in proxy.seen} == {HOST}


def test_nobody_listens(through, proxy):
    url = "http://u:proxy-pass@127.0.0.1:1"
    with through(proxies=Proxies(url, url)) as source, pytest.raises(UpstreamError) as caught:
        source.root()
    assert caught.value.reason == "the proxy: connection refused"
    assert "proxy-pass" not in str(caught.value)
    assert not proxy.seen
