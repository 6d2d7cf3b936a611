"""Real images, built by ``scripts/build-images`` into its cache, and what their own tools say of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

Row = tuple[str, str, str]
"""purl type, full name as the ecosystem writes it, version."""

_TOLD = {
    "deb": ("deb",),
    "rpm": ("rpm",),
    "pypi": ("pypi", "pypi_of_distribution"),
    "npm": ("npm",),
    "golang": ("golang", "golang_main", "golang_stdlib"),
    "maven": ("maven",),
    "gem": ("gem",),
    "cargo": ("cargo",),
}
"""purl type -> the lists of ``expected.json`` that make it up."""


_UNVERSIONED = "(devel)"
"""What Go says of a main module built from a working directory: not a version."""


@dataclass(frozen=True)
class BuiltImage:
    """An image on disk: an OCI layout with one image, tagged by its name."""

    name: str
    layout: Path
    expected: dict[str, Any]

    def told(self) -> set[Row]:
        """Return every package that the image's own tools name."""
        return {
            (purl_type, _tidy(purl_type, name), "" if version == _UNVERSIONED else version)
            for purl_type, keys in _TOLD.items()
            for key in keys
            for name, version in self.expected.get(key, ())
        }

    def push(self, host: str) -> str:
        """Push it to the registry at ``host`` and return a reference to it."""
        skopeo = shutil.which("skopeo") or _missing("skopeo is missing: apt-get install skopeo")
        target = f"{host}/{self.name}:real"
        subprocess.run(
            [skopeo, "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false",
             f"oci:{self.layout}:{self.name}", f"docker://{target}"],
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return target


def built_image(name: str) -> BuiltImage:
    """Return an image, built now if this version of it is not there; skip where it cannot be, except in CI."""
    done = subprocess.run(
        [sys.executable, "scripts/build-images", name],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        _missing(f"image {name} cannot be built: {done.stderr[-2000:]}")
    directory = Path(done.stdout.splitlines()[-1])
    expected = json.loads((directory / "expected.json").read_text())
    return BuiltImage(name, directory / "layout", expected)


def scan_report(reference: str, home: Path, *, host: str) -> dict[str, Any]:
    """Scan by the real command, cold, with its own store below ``home``; return the JSON report."""
    environment = os.environ | {
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "scanner.cli.main", "scan", reference, "--format=json", f"--insecure-registry={host}"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode in (0, 3), f"exit {done.returncode}: {done.stderr[-2000:]}"
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def installed(report: dict[str, Any]) -> list[Row]:
    """Return what the report says is installed: not what files only declare, nor copies inside of tools."""
    (image,) = report["images"]
    return [_row(package) for package in image.get("packages", ()) if _counts(package)]


def wrong_groups(image: BuiltImage, report: dict[str, Any]) -> list[str]:
    """Return the Maven coordinates whose group is reported, but is not what Maven says."""
    told = {tuple(row) for row in image.expected.get("maven", ())}
    (scanned,) = report["images"]
    named = [
        (f"{p['namespace']}:{p['name']}", p["version"])
        for p in scanned.get("packages", ())
        if p["purl_type"] == "maven" and p.get("namespace")
    ]
    return [f"{name}:{version}" for name, version in named if (name, version) not in told]


def _counts(package: dict[str, Any]) -> bool:
    # Libraries recognised by their own words, and the copies inside pip and setuptools: no tool lists them.
    return not (
        package.get("declared")
        or package["purl_type"] == "generic"
        or "/_vendor/" in package["path"]
    )


def _row(package: dict[str, Any]) -> Row:
    purl_type, name, version = (package[key] for key in ("purl_type", "name", "version"))
    namespace = package.get("namespace", "")
    epoch = package.get("qualifiers", {}).get("epoch", "")
    if namespace and purl_type in {"npm", "golang"}:
        name = f"{namespace}/{name}"
    return purl_type, _tidy(purl_type, name), f"{epoch}:{version}" if epoch else version


def _tidy(purl_type: str, name: str) -> str:
    if purl_type == "pypi":
        return re.sub(r"[-_.]+", "-", name).lower()
    if purl_type == "maven":
        # Many archives do not say which group they are of; those that do are checked on their own.
        return name.rpartition(":")[2]
    return name.lower() if purl_type == "golang" else name


def _missing(message: str) -> Any:
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
