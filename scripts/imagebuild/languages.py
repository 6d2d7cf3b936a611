"""Package managers of languages, and what they say they installed."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

from imagebuild import debian
from imagebuild.build import Build, run

_PASSED_ON = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "https_proxy",
    "HTTPS_PROXY",
)
_AUTHORITIES = ssl.get_default_verify_paths().cafile or ""


def install_venv(build: Build, path: str, packages: tuple[str, ...]) -> None:
    """Make a virtual environment at ``path`` and install wheels into it, as a Dockerfile would."""
    build.chroot("python3", "-m", "venv", f"/{path}")
    authorities = Path(os.environ.get("PIP_CERT") or _AUTHORITIES)
    with debian.network(build.root), debian.lend(build.root / "ca.pem", authorities.read_bytes()):
        build.chroot(
            f"/{path}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-cache-dir",
            "--no-compile", "--only-binary=:all:", *packages,
            env={"PIP_CERT": "/ca.pem"} | {k: v for k, v in os.environ.items() if k in _PASSED_ON},
        )  # fmt: skip


def pip_list(build: Build, python: str, *options: str) -> list[list[str]]:
    """Return what ``pip list`` says, of ``python`` or another one named by ``--python``."""
    text = build.chroot(
        python, "-m", "pip", "--disable-pip-version-check", *options, "list", "--format=json"
    )
    return sorted([entry["name"], entry["version"]] for entry in json.loads(text))


def install_npm(build: Build, path: str, packages: tuple[str, ...]) -> None:
    """Install npm packages at ``path``, which has a package.json."""
    run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
        f"--cache={build.work / 'npm'}", *packages, cwd=build.root / path)  # fmt: skip


def npm_list(build: Build, path: str) -> list[list[str]]:
    """Return every name and version of ``npm ls --all``, the project itself left out."""
    tree = json.loads(run("npm", "ls", "--all", "--json", cwd=build.root / path))
    return sorted(list(pair) for pair in _walk_npm(tree))


def _walk_npm(node: dict[str, Any]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for name, child in node.get("dependencies", {}).items():
        if "version" in child:
            found.add((name, child["version"]))
        found |= _walk_npm(child)
    return found
