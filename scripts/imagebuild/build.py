"""One image being built: a root directory, layers cut from it, and what its own tools say is in it."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from imagebuild import layout, tree

ENGINE_GZIP_LEVEL = 6
"""What container engines use."""


class BuildError(Exception):
    """A step failed; the message holds the end of what it printed."""


@dataclass
class Build:
    """What a recipe works with.

    ``root`` is the image's root directory; :meth:`commit` cuts a layer from what changed in it.
    ``expected`` holds ``[name, version]`` lists by purl type, and whatever else a test wants to know.
    """

    work: Path
    cache: Path
    pool: ThreadPoolExecutor
    gzip_level: int
    root: Path = field(init=False)
    config: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    _seen: dict[str, tree.Mark] = field(default_factory=dict)
    _layers: list[Future[layout.Layer]] = field(default_factory=list)
    _steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.work / "root"
        self.root.mkdir()

    def start_from(self, root: Path, layer: layout.Layer, step: str) -> None:
        """Begin with a copy of ``root``, which ``layer`` holds."""
        self.root.rmdir()
        run("cp", "-a", "--reflink=auto", str(root), str(self.root))
        self._seen = tree.snapshot(self.root)
        done: Future[layout.Layer] = Future()
        done.set_result(layer)
        self._layers.append(done)
        self._steps.append(step)

    def commit(self, step: str) -> None:
        """Make a layer of everything that changed in the root; it is compressed in the background."""
        before, self._seen = self._seen, tree.snapshot(self.root)
        self._add(step, lambda tar: tree.write_changes(self.root, before, self._seen, tar))

    def add_layer(self, step: str, entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> None:
        """Add a layer of entries written by hand; the root does not see it."""
        self._add(step, lambda out: tree.write_entries(entries, out))

    def write(self, target: Path, name: str) -> None:
        """Write the layout."""
        layers = [layer.result() for layer in self._layers]
        layout.write_layout(target, name, layers, self._steps, self.config)

    def chroot(self, *command: str, env: dict[str, str] | None = None) -> str:
        """Run a command of the image inside it; return what it prints."""
        shell_env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
        return run("chroot", str(self.root), *command, env=shell_env | (env or {}))

    def file(self, path: str, text: str | bytes, mode: int = 0o644) -> Path:
        """Write a file below the root, with its directories."""
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(text.encode() if isinstance(text, str) else text)
        full.chmod(mode)
        return full

    def _add(self, step: str, write: Callable[[BinaryIO], None]) -> None:
        tar = tempfile.TemporaryFile(dir=self.work)  # noqa: SIM115 - the thread closes it
        write(tar)
        self._layers.append(self.pool.submit(_compress_and_close, tar, self.work, self.gzip_level))
        self._steps.append(step)


def _compress_and_close(tar: BinaryIO, directory: Path, gzip_level: int) -> layout.Layer:
    with tar:
        return layout.compress_layer(tar, directory, gzip_level)


def run(
    *command: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    text: str = "",
) -> str:
    """Run a command with ``text`` as its input; return its standard output.

    Raises:
        BuildError: it is not there or failed.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, input=text, text=True, capture_output=True, check=False
        )
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        tail = (done.stdout + done.stderr)[-2000:]
        raise BuildError(f"{' '.join(command)[:200]}: exit {done.returncode}\n{tail}")
    return done.stdout
