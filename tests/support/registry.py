"""A real registry: Debian's docker-registry on a free loopback port, and pushes to it.

``start_registry`` is a context manager; ``registry`` the fixture around it (import it where it is used).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from support.image_builder import Image, ImageIndex, digest

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}}}, maintenance: {{readonly: {{enabled: {read_only}}}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_NOTIFICATIONS = """\
notifications:
  endpoints:
    - name: scanner
      url: {url}
      headers: {{Authorization: ["{authorization}"]}}
      timeout: 2s
      threshold: 100
      backoff: 200ms
      ignore: {{actions: [pull], mediatypes: [application/octet-stream]}}
"""
_START_SECONDS = 20.0


@dataclass(frozen=True)
class RunningRegistry:
    """A registry that listens at ``host``."""

    host: str

    def push(self, image: Image | ImageIndex, name: str, tag: str = "") -> str:
        """Push an image or index with everything below it; return a reference to it by digest."""
        if isinstance(image, ImageIndex):
            for one in image.images:
                self.push(one, name)
        else:
            for content in (image.config_bytes, *image.layers):
                self.push_blob(content, name)
        return self.push_manifest(image, name, tag)

    def push_manifest(self, image: Image | ImageIndex, name: str, tag: str = "") -> str:
        """Push a manifest whose blobs are there; return a reference to it by digest."""
        for target in filter(None, (image.digest, tag)):
            self._send(
                "PUT",
                f"http://{self.host}/v2/{name}/manifests/{target}",
                image.manifest_bytes,
                image.media_type,
            )
        return f"{self.host}/{name}@{image.digest}"

    def push_blob(self, content: bytes, name: str) -> str:
        """Push one blob and return its digest."""
        url = f"http://{self.host}/v2/{name}/blobs/uploads/"
        location = urljoin(url, self._send("POST", url).headers["Location"])
        separator = "&" if "?" in location else "?"
        self._send("PUT", f"{location}{separator}digest={digest(content)}", content)
        return digest(content)

    @staticmethod
    def _send(
        method: str, url: str, data: bytes = b"", content_type: str = "application/octet-stream"
    ) -> requests.Response:
        headers = {"Content-Type": content_type}
        with requests.request(method, url, data=data, headers=headers, timeout=30) as response:
            assert response.ok, f"{method} {url}: {response.status_code} {response.text[:300]}"
        return response


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def start_registry(
    directory: Path,
    *,
    port: int = 0,
    notify: tuple[str, str] | None = None,
    read_only: bool = False,
) -> Iterator[RunningRegistry]:
    """Run a registry that keeps its data below ``directory``; skip without the program, but not in CI.

    ``notify`` is the URL that it tells of pushes, and the ``Authorization`` header that it shows there.
    """
    program = shutil.which("docker-registry")
    if program is None:
        message = "docker-registry is missing: apt-get install docker-registry"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    port = port or free_port()
    config = directory / "config.yml"
    text = _CONFIG.format(directory=directory / "data", port=port, read_only=str(read_only).lower())
    if notify is not None:
        text += _NOTIFICATIONS.format(url=notify[0], authorization=notify[1])
    config.write_text(text)
    with subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port, process)
            yield RunningRegistry(f"127.0.0.1:{port}")
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("docker-registry did not start", pytrace=False)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running
