"""bun.lock: what Bun would install. JSON with comments and trailing commas.

Source: https://bun.sh/docs/install/lockfile
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from scanner.analyzers._locks import is_inside_package, npm_packages, split_specifier
from scanner.analyzers._read import optional_text, read_json, read_text, table
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_BEYOND_JSON: Final = re.compile(
    r'("[^"\\]*(?:\\.[^"\\]*)*")|//[^\n]*|/\*[\s\S]*?(?:\*/|\Z)|,(?=\s*[}\]])'
)
_LOCAL: Final = ("workspace:", "link:", "file:", "root:")


def _named(entry: object, path: str) -> tuple[str, str] | None:
    """Return (name, version) of ``["name@version", …]``; None for a part of the project itself."""
    if not isinstance(entry, list) or not entry:
        raise MalformedFileError(path, "packages: expected a list that begins with a text")
    resolved = optional_text({"": entry[0]}, "")
    name, version = split_specifier(resolved)
    if not name:
        raise MalformedFileError(path, "packages: expected a list that begins with a text")
    if version.startswith(_LOCAL):
        return None
    return name, version if version[:1].isdigit() else ""


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield each different package once, in file order. The version of one from a URL may be empty.

    Raises:
        MalformedFileError: not JSON with comments, or of another shape.
    """
    if is_inside_package(file.path):
        return
    plain = _BEYOND_JSON.sub(lambda found: found[1] or "", read_text(file))
    document = table(read_json(replace(file, data=plain.encode())), path=file.path)
    packages = table(document.get("packages", {}), path=file.path, what="packages")
    found = (_named(entry, file.path) for entry in packages.values())
    yield from npm_packages((one for one in found if one), file.path)


ANALYZERS: Final = (
    FileAnalyzer(
        name="node/bun-lock",
        version=1,
        interest=Interest(globs=("**/bun.lock",)),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="Node packages named by Bun's lock file",
        purl_types=("npm",),
    ),
)
