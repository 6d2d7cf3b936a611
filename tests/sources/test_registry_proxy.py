"""Proxies of the environment: who is asked through one, and what never reaches it."""

from __future__ import annotations

import base64
import datetime as dt
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.faulty_registry import (
    FaultyRegistry,
    Reply,
    error_reply,
    redirect,
    start_faulty_registry,
)
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


@pytest.fixture
def certificate(tmp_path):
    """Return a file with a key and a self-signed certificate for ``registry.test``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path / "both.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def tunnel_to(port: int) -> Iterator[tuple[str, list[bytes]]]:
    """Run a proxy that leads every tunnel to a local port; give its address and what it was asked in the clear."""
    asked: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = iter(self.rfile.readline, b"\r\n")
            asked.append(b"".join(lines))
            with socket.create_connection(("127.0.0.1", port)) as target:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(target, self.connection))
                back.start()
                pump(self.connection, target)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def test_https_through_a_tunnel_with_our_ca(certificate, options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with start_faulty_registry(context) as served:
        served.serve(APP, NAME)
        with tunnel_to(int(served.host.rpartition(":")[2])) as (address, asked):
            proxies = Proxies(https=f"http://proxy-user:proxy-pass@{address}")
            given = options(
                ca_file=certificate, proxies=proxies, username="me", password="registry-pass"
            )
            with open_registry(f"{HOST}/{NAME}:1", given, backoff=BACKOFF) as source:
                assert source.root()[0].digest == APP.digest
                assert read_all(source) == APP.layers[0]
    text = b"".join(asked).decode()
    assert text.startswith(f"CONNECT {HOST}:443 ")
    assert f"Basic {USER}" in text
    assert "\r\nAuthorization:" not in text
    assert not any("Proxy-Authorization" in seen.headers for seen in served.seen)
