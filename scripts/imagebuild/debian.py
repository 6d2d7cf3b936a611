"""The Debian root that most images begin with, and apt inside of it."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imagebuild import layout, tree
from imagebuild.build import ENGINE_GZIP_LEVEL, Build, run

_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d/debian.sources"))
_UNSAFE = "--force-unsafe-io"
"""The root is thrown away if the machine stops: no need to wait for the disk."""


def start(build: Build) -> None:
    """Begin with a minimal Debian, of this machine's sources; its root and layer are kept for next time."""
    kept = build.cache / ".debian"
    with (build.cache / ".debian.root.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept / "done").exists():
            _bootstrap(kept)
    layers = [p for p in kept.iterdir() if len(p.name) == 64]
    diff_id = (kept / "done").read_text()
    layer = layout.Layer(layers[0], f"sha256:{layers[0].name}", diff_id, layers[0].stat().st_size)
    build.start_from(kept / "root", layer, "ADD rootfs.tar / # debian minbase")


def _bootstrap(kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    root = kept / "root"
    sources = [str(p) for p in _SOURCES if p.is_file() and p.read_text().strip()]
    run("mmdebstrap", "--mode=root", "--variant=minbase", "--quiet", f"--dpkgopt={_UNSAFE[2:]}",
        *(["", str(root), *sources] if sources else ["stable", str(root)]))  # fmt: skip
    for name in ("etc/resolv.conf", "etc/hostname", "etc/dpkg/dpkg.cfg.d/99mmdebstrap"):
        (root / name).unlink(missing_ok=True)
    layer = layout.layer_from(
        lambda out: tree.write_changes(root, {}, tree.snapshot(root), out), kept, ENGINE_GZIP_LEVEL
    )
    (kept / "done").write_text(layer.diff_id)


def apt_install(build: Build, *packages: str) -> None:
    """Install packages in the image, and leave nothing else behind."""
    with network(build.root), _no_services(build.root), _proc(build.root):
        options = ("-qq", "-o", f"DPkg::Options::={_UNSAFE}", "-o", "Acquire::Retries=3")
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        build.chroot("apt-get", *options, "update", env=env)
        build.chroot(
            "apt-get", *options, "install", "-y", "--no-install-recommends", *packages, env=env
        )
        build.chroot("apt-get", "clean")
    for leftover in ("var/lib/apt/lists", "var/cache/apt", "var/log"):
        _empty(build.root / leftover)


def dpkg_packages(build: Build) -> list[list[str]]:
    """Return what ``dpkg-query`` calls installed."""
    lines = build.chroot("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n")
    rows = [line.split() for line in lines.splitlines()]
    return sorted(row[1:] for row in rows if row[0] == "installed")


def _empty(directory: Path) -> None:
    for path in directory.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            path.unlink()


@contextmanager
def network(root: Path) -> Iterator[None]:
    """Lend the image this machine's name resolution."""
    with ExitStack() as stack:
        for name in ("etc/resolv.conf", "etc/hosts"):
            stack.enter_context(lend(root / name, Path("/", name).read_bytes()))
        yield


@contextmanager
def _no_services(root: Path) -> Iterator[None]:
    with lend(root / "usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n", mode=0o755):
        yield


@contextmanager
def lend(path: Path, body: bytes, mode: int = 0o644) -> Iterator[None]:
    before = path.read_bytes() if path.is_file() else None
    path.write_bytes(body)
    path.chmod(mode)
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)


@contextmanager
def _proc(root: Path) -> Iterator[None]:
    """Mount /proc where that is allowed; few packages need it."""
    target = str(root / "proc")
    mounted = _quietly("mount", "-t", "proc", "proc", target)
    try:
        yield
    finally:
        if mounted:
            _quietly("umount", target)


def _quietly(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unpack(build: Build, *packages: str) -> None:
    """Unpack this machine's distribution packages into the root without telling dpkg: needs no root."""
    debs = build.work / "debs"
    debs.mkdir(exist_ok=True)
    run("apt-get", "download", "-qq", *packages, cwd=debs)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda d: run("dpkg-deb", "-x", str(d), str(build.root)), debs.iterdir()))
