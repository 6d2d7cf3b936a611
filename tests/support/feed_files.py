"""Files of feeds, as their publishers shape them, and a server that has them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import zstandard
from support.faulty_registry import FaultyRegistry, Reply, Seen

from scanner import discovery
from scanner.ports.feed import FeedFile, FeedItem


def record(id_: str, name: str = "left-pad", ecosystem: str = "npm", fixed: str = "1.3.0") -> bytes:
    """Return an OSV record."""
    events = [{"introduced": "0"}, {"fixed": fixed}]
    return json.dumps(
        {
            "id": id_,
            "modified": "2024-01-02T03:04:05Z",
            "aliases": [f"CVE-{id_[-4:]}"],
            "affected": [
                {
                    "package": {"ecosystem": ecosystem, "name": name},
                    "ranges": [{"type": "SEMVER", "events": events}],
                }
            ],
        }
    ).encode()


def zipped(entries: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def osv_zip(count: int, **more: str) -> bytes:
    """Return an ``all.zip`` of as many records, each of its own package."""
    ids = [f"GHSA-aaaa-bbbb-{n:04}" for n in range(count)]
    return zipped({f"{i}.json": record(i, f"package{i[-4:]}", **more) for i in ids})


def tarred(entries: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


COMPRESSIONS = {
    "plain": lambda b: b,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": lambda b: zstandard.ZstdCompressor().compress(b),
    "two zstd frames": lambda b: (
        zstandard.ZstdCompressor().compress(b[:9]) + zstandard.ZstdCompressor().compress(b[9:])
    ),
    "two gzip members": lambda b: gzip.compress(b[:9]) + gzip.compress(b[9:]),
    "two xz streams": lambda b: lzma.compress(b[:9]) + lzma.compress(b[9:]),
}


def parse(directory: Path, feed: str, content: bytes, unit: str) -> list[FeedItem]:
    """Return what a feed makes of a file."""
    path = directory / "feed-file"
    path.write_bytes(content)
    with path.open("rb") as stream:
        return list(discovery.feeds()[feed].parse(FeedFile(name="file", stream=stream, unit=unit)))


class FeedServer:
    """Puts files on a server of the tests that knows conditions and ranges, as publishers' servers do."""

    def __init__(self, server: FaultyRegistry) -> None:
        self.server = server
        self.files: dict[str, bytes] = {}
        server.gate = self._answer

    def _answer(self, seen: Seen) -> Reply | None:
        content = self.files.get(seen.path)
        if content is None or self.server._scripts[seen.path]:
            return None
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"ETag": etag}
        if seen.headers.get("If-None-Match") == etag:
            return Reply(304, headers=headers)
        wanted = seen.headers.get("Range")
        if wanted is None or seen.headers.get("If-Range") != etag:
            return Reply(200, content, headers)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return Reply(416, headers={"Content-Range": f"bytes */{len(content)}"})
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Reply(206, content[start:], {**headers, "Content-Range": span})
