"""pnpm-lock.yaml, versions 5 to 9: what pnpm would install.

Read line by line in the form that pnpm writes, so that no YAML feature has to be bounded: only the keys of
``packages:`` matter, and ``name`` and ``version`` below those that come from a URL or repository. pnpm 11
writes two documents into one file.

Source: https://github.com/pnpm/spec/blob/master/lockfile/9.0.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from scanner.analyzers._locks import is_inside_package, npm_packages
from scanner.analyzers._read import read_text
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_VERSION: Final = re.compile(r"lockfileVersion: ['\"]?(\d+)")
_KEY: Final = re.compile(r"  (?:\? )?(?:'([^']+)'|\"([^\"]+)\"|([^\s'\"#][^\s]*?)):?[ \t\r]*\Z")
_OVERRIDE: Final = re.compile(r"    (name|version): ['\"]?([^'\"\s]+)")
_SLASH_ONLY: Final = 6
"""First lock file version whose keys are ``name@version`` and not ``name/version``."""


def _split(key: str, lock_version: int) -> tuple[str, str]:
    """Return (name, version) of a key, peers cut off; the version of a URL or repository is empty."""
    bare = key.removeprefix("/").partition("(")[0]
    separator = "@" if lock_version >= _SLASH_ONLY else "/"
    at = bare.find(separator, bare.find("/") + 1 if bare.startswith("@") else 1)
    if at < 0:
        return bare, ""
    name, version = bare[:at], bare[at + 1 :]
    return name, version.partition("_")[0] if version[:1].isdigit() else ""


def _packages(lines: Iterable[str], path: str) -> Iterator[tuple[str, str]]:
    lock_version, is_inside = 0, False
    key, override = "", dict[str, str]()

    def entry() -> tuple[str, str]:
        name, version = _split(key, lock_version)
        return override.get("name", name), override.get("version", version)

    for line in [*lines, "end:"]:
        if line[:1] not in ("", " ", "#", "\r"):
            if key:
                yield entry()
            key, override = "", {}
            named = _VERSION.match(line)
            lock_version = int(named[1]) if named else lock_version
            is_inside = line.startswith("packages:")
            if is_inside and line[9:].strip() not in ("", "{}"):
                raise MalformedFileError(path, "packages: not in the form that pnpm writes")
        elif is_inside:
            started, field = _KEY.match(line), _OVERRIDE.match(line)
            if started:
                if key:
                    yield entry()
                key, override = started[1] or started[2] or started[3], {}
            elif field:
                override.setdefault(field[1], field[2])


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield each different package once, in file order. The version of one from a URL may be empty.

    Raises:
        MalformedFileError: not UTF-8, or not in the form that pnpm writes.
    """
    if is_inside_package(file.path):
        return
    body = read_text(file)
    if "lockfileVersion:" not in body:
        raise MalformedFileError(file.path, "not a lock file of pnpm")
    yield from npm_packages(_packages(body.split("\n"), file.path), file.path)


ANALYZERS: Final = (
    FileAnalyzer(
        name="node/pnpm-lock",
        version=1,
        interest=Interest(globs=("**/pnpm-lock.yaml",)),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="Node packages named by pnpm's lock file",
        purl_types=("npm",),
    ),
)
