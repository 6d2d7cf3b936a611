"""The client of the service: whom it shows the token, what it believes, and what it says when it cannot."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scanner.client import Client, ClientOptions, Event, is_loopback, parse_events
from scanner.errors import (
    NotFoundError,
    SettingsError,
    UnauthorizedError,
    UpstreamError,
)

TOKEN = "correct-horse-battery"


@contextmanager
def server(status=200, body=b"{}", headers=()):
    """Serve one answer to everything; yields its URL and the requests seen."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - as http.server names them

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", seen
        finally:
            running.shutdown()
            thread.join()


def client(url, **more):
    return Client(ClientOptions(url=url, token=TOKEN, **more))


def test_a_question_and_its_answer():
    with server(202, b'{"id": "x"}') as (url, seen), client(f"{url}/") as asked:
        answer = asked.ask("POST", "/v1/scans", "ask", body={"a": 1}, query={"q": "a/b c"})
    assert (answer.status, answer.value()) == (202, {"id": "x"})
    ((method, path, headers, body),) = seen
    assert (method, path, body) == ("POST", "/v1/scans?q=a%2Fb+c", b'{"a": 1}')
    assert headers["Authorization"] == f"Bearer {TOKEN}"


def test_the_token_goes_before_netrc(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with server() as (url, seen), client(url) as asked:
        asked.ask("GET", "/", "ask")
        Client(ClientOptions(url=url)).ask("GET", "/", "ask")
    assert [one[2].get("Authorization") for one in seen] == [f"Bearer {TOKEN}", None]


REFUSALS = {
    "unauthorized": (401, b'{"detail": "no"}', UnauthorizedError, "401 no"),
    "forbidden": (403, b'{"title": "Forbidden"}', UnauthorizedError, "403 Forbidden"),
    "not_found": (404, b'{"detail": "sha256:x is not known"}', NotFoundError, "is not known"),
    "not_json": (500, b"<html>\x1b[2J", UpstreamError, "500"),
    "deep_json": (500, b"[" * 100_000, UpstreamError, "500"),
    "list": (400, b"[1]", UpstreamError, "400"),
    "drives_terminals": (400, b'{"detail": "a\\u001b[2Jb\\u202e"}', UpstreamError, "a [2Jb"),
    "endless": (500, b" " * 2_000_000, UpstreamError, "larger than"),
}


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"), REFUSALS.values(), ids=REFUSALS.keys()
)
def test_refusals(status, body, kind, reason):
    with (
        server(status, body) as (url, _),
        client(url) as asked,
        pytest.raises(kind, match="ask") as caught,
    ):
        asked.ask("GET", "/", "ask")
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert TOKEN not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(("status", "again"), [(429, True), (503, True), (400, False)])
def test_what_can_pass(status, again):
    with server(status) as (url, _), client(url) as asked, pytest.raises(UpstreamError) as caught:
        asked.ask("GET", "/", "ask")
    assert caught.value.retryable is again


def test_a_redirect_is_not_followed():
    with (
        server() as (other, seen),
        server(302, headers=[("Location", other)]) as (url, _),
        client(url) as asked,
        pytest.raises(UpstreamError, match="redirects are not followed"),
    ):
        asked.ask("GET", "/", "ask")
    assert seen == []


def test_an_answer_is_bounded():
    with server(body=b"x" * 1001) as (url, _), client(url) as asked:
        assert len(asked.ask("GET", "/", "ask", most_bytes=1001).body) == 1001
        with pytest.raises(UpstreamError, match="larger than 1000 bytes"):
            asked.ask("GET", "/", "ask", most_bytes=1000)


def test_nobody_there():
    with server() as (url, _):
        pass
    with client(url) as asked, pytest.raises(UpstreamError, match="refused") as caught:
        asked.ask("GET", "/", "ask")
    assert caught.value.retryable


def test_no_tls_there():
    with (
        server() as (url, _),
        client(url.replace("http:", "https:")) as asked,
        pytest.raises(UpstreamError, match="TLS"),
    ):
        asked.ask("GET", "/", "ask")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "expected https"),
        ("scanner.example", "expected https"),
        ("ftp://scanner.example", "expected https"),
        ("https://", "expected https"),
        ("https://[::1", "expected https"),
        ("https://h:x", "expected https"),
        ("https://h/?token=x", "expected https"),
        ("https://user:word@h", "no password"),
        ("http://scanner.example", "plain http"),
        ("http://127.0.0.1.example", "plain http"),
    ],
)
def test_wrong_servers(url, reason):
    with pytest.raises(SettingsError, match=reason):
        client(url)


def test_plain_http_where_it_is_allowed():
    client("http://scanner.example", insecure=True)
    client("http://[::1]:8080")


@pytest.mark.parametrize(
    ("host", "want"),
    [
        ("localhost", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example", False),
        ("10.0.0.1", False),
    ],
)
def test_is_loopback(host, want):
    assert is_loopback(host) is want


STREAMS = {
    "one": (b"event: progress\ndata: {}\n\n", [Event("progress", "{}")]),
    "no_name": (b"data: a\ndata:b\n\n", [Event("message", "a\nb")]),
    "carriage_returns": (b"event: x\r\ndata: 1\r\n\r\n", [Event("x", "1")]),
    "comments_and_ids": (b": still here\n\nid: 7\ndata: 1\n\n", [Event("message", "1")]),
    "no_data": (b"event: x\n\n", []),
    "cut_off": (b"data: 1\n\ndata: 2\n", [Event("message", "1")]),
    "not_utf8": (b"data: \xff\n\n", [Event("message", "\ufffd")]),
}


@pytest.mark.parametrize(("raw", "want"), STREAMS.values(), ids=STREAMS.keys())
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_events(raw, want, size):
    chunks = [raw[n : n + size] for n in range(0, len(raw), size)]
    assert list(parse_events(chunks)) == want


@pytest.mark.parametrize("line", [b"x" * 70_000, b"data: " + b"x" * 69_993 + b"\n"])
def test_an_event_without_end(line):
    with (
        server(body=line * 40, headers=[("Content-Type", "text/event-stream")]) as (url, _),
        client(url) as asked,
        pytest.raises(UpstreamError),
    ):
        list(asked.events("/", "follow"))


def test_no_events_there():
    with (
        server(headers=[("Content-Type", "text/html")]) as (url, _),
        client(url) as asked,
        pytest.raises(UpstreamError, match="no events"),
    ):
        list(asked.events("/", "follow"))
