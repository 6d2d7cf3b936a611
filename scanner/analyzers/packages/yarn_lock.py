"""yarn.lock, of Yarn 1 (a form of its own) and of Yarn 2 and later (YAML in a fixed form).

Both are read line by line as Yarn writes them, so that no YAML feature has to be bounded.

Source: https://classic.yarnpkg.com/lang/en/docs/yarn-lock/
Source: https://yarnpkg.com/advanced/lexicon#lockfile
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from scanner.analyzers._locks import is_inside_package, npm_packages, split_specifier
from scanner.analyzers._read import read_text
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_HEADER: Final = re.compile(r"^(?:# yarn lockfile v1|__metadata:)", re.MULTILINE)
_FIELD: Final = re.compile(r'  (version|resolution):? "?([^"\n]+?)"?[ \t\r]*\Z')
_LOCAL: Final = ("workspace:", "link:", "portal:", "file:")


class _Entry(NamedTuple):
    key: str
    fields: dict[str, str]


def _entries(lines: Iterable[str]) -> Iterator[_Entry]:
    entry: _Entry | None = None
    for line in lines:
        if line[:1] not in ("", " ", "#", "\r"):
            if entry:
                yield entry
            entry = _Entry(line.rstrip().rstrip(":"), {})
        elif entry and line.startswith("  "):
            field = _FIELD.match(line)
            if field:
                entry.fields.setdefault(field[1], field[2])
    if entry:
        yield entry


def _named(entry: _Entry) -> tuple[str, str] | None:
    """Return (name, version); None for a part of the project itself."""
    asked = entry.fields.get("resolution") or entry.key.split(",")[0].strip().strip('"')
    name, rest = split_specifier(asked)
    if rest.startswith(_LOCAL) or "version" not in entry.fields:
        return None
    if rest.startswith("npm:") and not rest[4:5].isdigit() and "@" in rest[5:]:
        name = split_specifier(rest[4:])[0]
    return name, entry.fields["version"]


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield each different package once, in file order.

    Raises:
        MalformedFileError: not UTF-8, or not a lock file of Yarn.
    """
    if is_inside_package(file.path):
        return
    body = read_text(file)
    if not body.strip():
        return  # an empty one marks the root of a project and locks nothing
    if not _HEADER.search(body):
        raise MalformedFileError(file.path, "not a lock file of Yarn")
    found = (_named(e) for e in _entries(body.split("\n")) if e.key != "__metadata")
    yield from npm_packages((one for one in found if one), file.path)


ANALYZERS: Final = (
    FileAnalyzer(
        name="node/yarn-lock",
        version=1,
        interest=Interest(globs=("**/yarn.lock",)),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="Node packages named by Yarn's lock file",
        purl_types=("npm",),
    ),
)
