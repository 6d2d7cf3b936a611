"""Gemfile.lock: what Bundler would install. Gems from a directory of the project are left out.

Source: https://bundler.io/guides/rationale.html#checking-your-code-into-version-control
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from scanner.analyzers._read import read_text
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_SECTION: Final = re.compile(r"[A-Z][A-Z ]*[ \t\r]*\Z")
_RESOLVED: Final = re.compile(r" {4}([^\s()]+) \(([^\s()-]+)(?:-([^\s()]+))?\)[ \t\r]*\Z")
"""Four spaces: resolved; six: what that one depends on."""
_INSTALLED: Final = ("GEM", "GIT", "PLUGIN SOURCE")


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield one package per resolved gem and platform, in file order.

    Raises:
        MalformedFileError: not UTF-8, or without any of Bundler's sections.
    """
    sections_count, section = 0, ""
    for line in read_text(file).split("\n"):
        if _SECTION.match(line):
            sections_count, section = sections_count + 1, line.strip()
            continue
        gem = _RESOLVED.match(line) if section in _INSTALLED else None
        if gem:
            yield Package(
                purl_type="gem",
                name=gem[1],
                version=gem[2],
                path=file.path,
                qualifiers={"platform": gem[3]} if gem[3] else {},
                declared=True,
            )
    if not sections_count:
        raise MalformedFileError(file.path, "not a lock file of Bundler")


ANALYZERS: Final = (
    FileAnalyzer(
        name="ruby/gem-lock",
        version=1,
        interest=Interest(globs=("**/Gemfile.lock", "**/gems.locked")),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="gems named by Bundler's lock file",
        purl_types=("gem",),
    ),
)
