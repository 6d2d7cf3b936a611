"""A registry that misbehaves as told, on loopback.

Images given to ``serve`` are answered properly (Range too). ``script`` puts other replies before that,
by path, each used once; ``gate`` sees every request first and may answer in its place.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.image_builder import Image, ImageIndex

_RANGE = re.compile(r"bytes=([0-9]+)-\Z")


@dataclass(frozen=True)
class Reply:
    """One answer. ``cut_after`` closes the connection after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    """Content-Length, where it is not the body's; -1 leaves it out (the body then is chunked)."""
    cut_after: int | None = None
    stalls: bool = False
    """Keep the connection open after ``cut_after`` bytes, and send nothing more."""
    endless: bool = False
    """Repeat the body until the client goes away."""
    hangs_up: bool = False
    """Close the connection without an answer."""


@dataclass(frozen=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    """With query."""
    headers: Message
    body: bytes

    @property
    def authorization(self) -> str:
        return self.headers.get("Authorization", "")


Answer = Reply | Callable[[Seen], Reply]


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


def error_reply(status: int, code: str, message: str, **headers: str) -> Reply:
    return json_reply({"errors": [{"code": code, "message": message}]}, status, **headers)


def redirect(location: str, status: int = 307) -> Reply:
    return Reply(status, headers={"Location": location})


class FaultyRegistry:
    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.host = f"127.0.0.1:{server.server_address[1]}"
        self.url = f"{scheme}://{self.host}"
        self.seen: list[Seen] = []
        self.connections_count = 0
        self.gate: Callable[[Seen], Reply | None] = lambda _seen: None
        self.stopped = threading.Event()
        self._scripts: dict[str, list[Answer]] = defaultdict(list)
        self._content: dict[str, tuple[str, bytes]] = {}

    def serve(self, image: Image | ImageIndex, name: str, tag: str = "1") -> None:
        for one in image.images if isinstance(image, ImageIndex) else ():
            self.serve(one, name, "")
        for target in filter(None, (tag, image.digest)):
            path = f"/v2/{name}/manifests/{target}"
            self._content[path] = (image.media_type, image.manifest_bytes)
        for key, blob in image.blobs.items():
            self._content[f"/v2/{name}/blobs/{key}"] = ("application/octet-stream", blob)

    def script(self, path: str, *answers: Answer) -> None:
        self._scripts[path].extend(answers)

    def paths(self, part: str = "") -> list[str]:
        return [f"{one.method} {one.path}" for one in self.seen if part in one.path]

    def answer(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        gated = self.gate(seen)
        if gated is not None:
            return gated
        path = seen.path.partition("?")[0]
        if self._scripts[path]:
            answer = self._scripts[path].pop(0)
            return answer if isinstance(answer, Reply) else answer(seen)
        return self.proper(seen)

    def proper(self, seen: Seen) -> Reply:
        """Answer as a registry should."""
        found = self._content.get(seen.path.partition("?")[0])
        if found is None:
            return error_reply(404, "NAME_UNKNOWN", "no such thing")
        media_type, content = found
        wanted = _RANGE.match(seen.headers.get("Range", ""))
        if wanted is None:
            return Reply(200, content, {"Content-Type": media_type})
        start = int(wanted[1])
        if start >= len(content):
            return Reply(416, headers={"Content-Range": f"bytes */{len(content)}"})
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Reply(206, content[start:], {"Content-Type": media_type, "Content-Range": span})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FaultyRegistry

    def setup(self) -> None:
        super().setup()
        self.registry.connections_count += 1

    def log_message(self, *_args: object) -> None:
        """Be quiet."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.registry.answer(Seen(self.command, self.path, self.headers, body))
        try:
            self._send(reply)
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = _serve  # noqa: N815

    def _send(self, reply: Reply) -> None:
        if reply.hangs_up:
            self.close_connection = True
            return
        self.send_response(reply.status)
        chunked = reply.length == -1
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not reply.endless:
            length = len(reply.body) if reply.length is None else reply.length
            self.send_header("Content-Length", str(length))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = reply.body if reply.cut_after is None else reply.body[: reply.cut_after]
        if chunked and body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        if chunked and reply.cut_after is None and not reply.endless:
            body += b"0\r\n\r\n"
        self.wfile.write(body)
        while reply.endless:
            self.wfile.write(body)
        if reply.stalls:
            self.registry.stopped.wait(30)
        if reply.cut_after is not None:
            self.close_connection = True


@contextmanager
def start_faulty_registry(context: ssl.SSLContext | None = None) -> Iterator[FaultyRegistry]:
    """Run a registry on a free port, over TLS if a context is given."""

    class Handler(_Handler):
        pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: object) -> None:
            """Clients that go away, or speak TLS to plain http, are part of the tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        registry = FaultyRegistry(server, "https" if context else "http")
        Handler.registry = registry
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            registry.stopped.set()
            server.shutdown()
            thread.join()
