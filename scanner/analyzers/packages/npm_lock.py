"""package-lock.json and npm-shrinkwrap.json, versions 1 to 3: what npm would install.

Source: https://docs.npmjs.com/cli/v11/configuring-npm/package-lock-json
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scanner.analyzers._locks import is_inside_package, npm_packages, split_specifier
from scanner.analyzers._read import optional_text, read_json, table
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_TREE: Final = "node_modules/"


def _installed(packages: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield (name, version) of a version 2 or 3 file; the project, its workspaces and links are left out."""
    for place, value in packages.items():
        entry = table(value, path=path, what=f"packages: {place!r}"[:200])
        if _TREE not in place or entry.get("link") is True:
            continue
        name = optional_text(entry, "name") or place.rpartition(_TREE)[2]
        yield name, optional_text(entry, "version")


def _resolved(name: str, version: str) -> tuple[str, str]:
    """Return name and version of a version 1 entry, whose version may be an alias or a URL."""
    if version.startswith("npm:"):
        return split_specifier(version.removeprefix("npm:"))
    return name, version if version[:1].isdigit() else ""


def _nested(dependencies: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield (name, version) of a version 1 file, a package before its own dependencies."""
    waiting = [dependencies]
    while waiting:
        for name, value in waiting.pop().items():
            entry = table(value, path=path, what=f"dependencies: {name!r}"[:200])
            version = optional_text(entry, "version")
            if not version.startswith(("file:", "link:")):
                yield _resolved(name, version)
            if entry.get("dependencies"):
                waiting.append(table(entry["dependencies"], path=path, what="dependencies"))


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield each different package once. The version of one from a URL or repository may be empty.

    Raises:
        MalformedFileError: not JSON, or of another shape.
    """
    if is_inside_package(file.path):
        return
    document = table(read_json(file), path=file.path)
    if "packages" in document:
        packages = table(document["packages"], path=file.path, what="packages")
        found = _installed(packages, file.path)
    else:
        dependencies = document.get("dependencies", {})
        found = _nested(table(dependencies, path=file.path, what="dependencies"), file.path)
    yield from npm_packages(found, file.path)


ANALYZERS: Final = (
    FileAnalyzer(
        name="node/npm-lock",
        version=1,
        interest=Interest(globs=("**/package-lock.json", "**/npm-shrinkwrap.json")),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="Node packages named by npm's lock file",
        purl_types=("npm",),
    ),
)
