"""Installed Node packages: the package.json of every directory that is a package of a node_modules tree.

As in ``npm ls --all``, trees inside a package's tests or fixtures are not installed packages.

Source: https://docs.npmjs.com/cli/v11/configuring-npm/package-json
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scanner.analyzers._read import optional_text, read_json
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_PACKAGE: Final = re.compile(r"(?:^|/)node_modules/(?:@[^/.][^/]*/)?[^/.@][^/]*/package\.json\Z")
"""Names that begin with a dot are npm's own leftovers and stores."""
_FIXTURES: Final = frozenset(
    {
        "test",
        "tests",
        "__tests__",
        "spec",
        "fixture",
        "fixtures",
        "__fixtures__",
        "example",
        "examples",
    }
)
_NAME_CHARACTERS: Final = 214


def _is_fixture(path: str) -> bool:
    """Whether a test directory of an installed package holds the tree; a package may be called ``test``."""
    segments = path.split("/")
    first = segments.index("node_modules")
    last = len(segments) - 1 - segments[::-1].index("node_modules")
    return any(
        segments[i] in _FIXTURES
        and segments[i - 1] != "node_modules"
        and not segments[i - 1].startswith("@")
        for i in range(first + 1, last)
    )


def _licenses(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return licences in today's form (a string) or either of the old ones (tables with ``type``)."""
    value = manifest.get("license") or manifest.get("licenses")
    values = value if isinstance(value, list) else [value]
    tables = (v if isinstance(v, dict) else {"type": v} for v in values)
    return tuple(name for name in (optional_text(t, "type") for t in tables) if name)


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield the package; nothing for a manifest without name and version, as those name no package.

    Raises:
        MalformedFileError: not JSON.
    """
    if not _PACKAGE.search(file.path) or _is_fixture(file.path):
        return
    manifest = read_json(file)
    if not isinstance(manifest, dict):
        return
    full_name, version = optional_text(manifest, "name"), optional_text(manifest, "version")
    if not full_name or not version or len(full_name) > _NAME_CHARACTERS:
        return
    scope, _, name = full_name.rpartition("/")
    yield Package(
        purl_type="npm",
        namespace=scope,
        name=name,
        version=version,
        path=file.path,
        licenses=_licenses(manifest),
    )


ANALYZERS: Final = (
    FileAnalyzer(
        name="node/installed",
        version=1,
        interest=Interest(
            globs=("**/node_modules/*/package.json", "**/node_modules/@*/*/package.json")
        ),
        parse=parse,
        max_file_bytes=2 * 1024 * 1024,
        summary="Node packages installed in node_modules",
        purl_types=("npm",),
    ),
)
