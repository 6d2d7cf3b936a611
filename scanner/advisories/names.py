"""How each ecosystem spells the names of its packages: the same package, the same text.

Source: https://ossf.github.io/osv-schema/#affectedpackage-field, https://peps.python.org/pep-0503/#normalized-names
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from scanner.model import Package

_RUN: Final = re.compile(r"[-_.]+")
_URL: Final = re.compile(r"^(?:https?|git|ssh)://(?:[^/@]*@)?")


def _pypi(name: str) -> str:
    return _RUN.sub("-", name).lower()


def _crate(name: str) -> str:
    return name.lower().replace("_", "-")


def _swift(name: str) -> str:
    return _URL.sub("", name).removesuffix(".git").strip("/").lower()


_SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "PyPI": _pypi,
    "crates.io": _crate,
    "Go": str.lower,
    "NuGet": str.lower,
    "Packagist": str.lower,
    "Hex": str.lower,
    "GitHub Actions": str.lower,
    "Bitnami": str.lower,
    "ConanCenter": str.lower,
    "SwiftURL": _swift,
}


def normalised_name(ecosystem: str, name: str) -> str:
    """Return the name under which an ecosystem's package is looked up; ``ecosystem`` with its release or without."""
    spelling = _SPELLINGS.get(ecosystem.partition(":")[0])
    return spelling(name) if spelling else name


ECOSYSTEMS: Final = {
    "pypi": "PyPI",
    "npm": "npm",
    "golang": "Go",
    "cargo": "crates.io",
    "gem": "RubyGems",
    "composer": "Packagist",
    "maven": "Maven",
    "nuget": "NuGet",
    "hex": "Hex",
    "pub": "Pub",
    "hackage": "Hackage",
    "cran": "CRAN",
    "bioconductor": "Bioconductor",
    "conan": "ConanCenter",
    "swift": "SwiftURL",
    "julia": "Julia",
    "opam": "opam",
    "bitnami": "Bitnami",
    "githubactions": "GitHub Actions",
}
"""Of packages that no distribution installs, by purl type."""
_SEPARATORS: Final = {"maven": ":"}


def language_name(package: Package) -> str:
    """Return a package's name as its ecosystem's advisories give it: ``@scope/name``, ``group:artifact``."""
    if not package.namespace:
        return (
            "toolchain" if package.purl_type == "golang" and package.name == "cmd" else package.name
        )
    return f"{package.namespace}{_SEPARATORS.get(package.purl_type, '/')}{package.name}"
