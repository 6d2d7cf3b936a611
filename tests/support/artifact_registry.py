"""A small registry in memory: pushes, referrers and conditional writes as the distribution spec has them, each optional."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class ArtifactRegistry:
    """What it holds, and what it can do."""

    has_referrers: bool = True
    has_conditions: bool = False
    may_delete: bool = True
    host: str = ""
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """``name/digest`` -> content, media type."""
    tags: dict[str, str] = field(default_factory=dict)
    """``name/tag`` -> digest."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    conflicts: int = 0
    on_tag: Callable[[str], bool] = lambda _tag: True
    """Called before a tag is written; False: it is not, and that is the registry's own fault."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stored(self, name: str, target: str) -> tuple[bytes, str] | None:
        key = self.tags.get(f"{name}/{target}", target)
        return self.manifests.get(f"{name}/{key}")

    def referrers(self, name: str, subject: str) -> list[dict[str, object]]:
        found = []
        for key, (content, media_type) in self.manifests.items():
            document = json.loads(content)
            if (
                key.startswith(f"{name}/sha256:")
                and document.get("subject", {}).get("digest") == subject
            ):
                kind = document.get("artifactType") or document["config"]["mediaType"]
                found.append(
                    {
                        "mediaType": media_type,
                        "digest": digest(content),
                        "size": len(content),
                        "artifactType": kind,
                        "annotations": document.get("annotations", {}),
                    }
                )
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    registry: ArtifactRegistry

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/v2/")
        with self.registry.lock:
            if "/manifests/" in path:
                self._manifests(*path.split("/manifests/"), body)
            elif "/referrers/" in path and self.registry.has_referrers:
                name, subject = path.split("/referrers/")
                index = {
                    "schemaVersion": 2,
                    "mediaType": INDEX,
                    "manifests": self.registry.referrers(name, subject),
                }
                self._answer(200, json.dumps(index).encode(), Content_Type=INDEX)
            elif path.endswith("/blobs/uploads/"):
                self._answer(202, Location=f"/v2/{path}one?state=x")
            elif "/blobs/uploads/" in path:
                wanted = parse_qs(parts.query)["digest"][0]
                if digest(body) != wanted:
                    self._answer(400)
                    return
                self.registry.blobs[wanted] = body
                self._answer(201)
            elif (
                "/blobs/" in path
                and (blob := self.registry.blobs.get(path.split("/blobs/")[1])) is not None
            ):
                self._answer(200, blob)
            else:
                self._answer(404)

    def _manifests(self, name: str, target: str, body: bytes) -> None:
        stored = self.registry.stored(name, target)
        if self.command == "PUT":
            self._put(name, target, body, stored)
        elif stored is None:
            self._answer(404)
        elif self.command == "DELETE":
            if self.registry.may_delete:
                del self.registry.manifests[f"{name}/{target}"]
            self._answer(202 if self.registry.may_delete else 405)
        else:
            content, media_type = stored
            said = {"Docker_Content_Digest": digest(content), "ETag": f'"{digest(content)}"'}
            self._answer(200, content, Content_Type=media_type, **said)

    def _put(self, name: str, target: str, body: bytes, stored: tuple[bytes, str] | None) -> None:
        now = f'"{digest(stored[0])}"' if stored else ""
        wanted = self.headers.get("If-Match", now)
        clash = wanted != now or (self.headers.get("If-None-Match") == "*" and stored)
        if clash and self.registry.has_conditions:
            self.registry.conflicts += 1
            self._answer(412)
            return
        if not target.startswith("sha256:") and not self.registry.on_tag(target):
            self._answer(503)
            return
        self.registry.manifests[f"{name}/{digest(body)}"] = (body, self.headers["Content-Type"])
        if not target.startswith("sha256:"):
            self.registry.tags[f"{name}/{target}"] = digest(body)
        subject = json.loads(body).get("subject", {}).get("digest", "")
        has = self.registry.has_referrers and subject
        self._answer(201, **({"OCI_Subject": subject} if has else {}))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - names of the library


@contextmanager
def start_artifact_registry(**abilities: bool) -> Iterator[ArtifactRegistry]:
    """Run one on a free loopback port."""
    registry = ArtifactRegistry(**abilities)
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
