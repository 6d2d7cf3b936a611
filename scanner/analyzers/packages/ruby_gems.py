"""Installed Ruby gems, default gems included: the gemspecs in a ``specifications`` directory.

RubyGems itself lists gems by the ``# stub:`` line that it writes on top, and by the file's name; the Ruby
code below is read only for the licence and where that line is missing.

Source: https://guides.rubygems.org/specification-reference/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_STUB: Final = re.compile(r"^# stub: (\S+) (\S+) (\S+) ", re.MULTILINE)
_NAME: Final = re.compile(r"^[ \t]*\w+\.name[ \t]*=[ \t]*[\"']([^\"'\n]+)[\"']", re.MULTILINE)
_VERSION: Final = re.compile(
    r"^[ \t]*\w+\.version[ \t]*=[ \t]*(?:Gem::Version\.new[ \t]*\(?[ \t]*)?[\"']([^\"'\n]+)[\"']",
    re.MULTILINE,
)
_PLATFORM: Final = re.compile(
    r"^[ \t]*\w+\.platform[ \t]*=[ \t]*[\"']([^\"'\n]+)[\"']", re.MULTILINE
)
_LICENSES: Final = re.compile(
    r"^[ \t]*\w+\.licenses?[ \t]*=[ \t]*(\[[^\]\n]*\]|[\"'][^\"'\n]+[\"'])", re.MULTILINE
)
_QUOTED: Final = re.compile(r"[\"']([^\"']+)[\"']")
_FILE_NAME: Final = re.compile(r"(?:^|/)([^/]+?)-(\d[^/-]*)(?:-([^/]+))?\.gemspec\Z")
_NO_PLATFORM: Final = "ruby"


def _first(expression: re.Pattern[str], text: str) -> str:
    found = expression.search(text)
    return found[1].strip() if found else ""


def _identity(text: str, path: str) -> tuple[str, str, str]:
    """Return name, version and platform; what is not known is empty."""
    stub = _STUB.search(text)
    if stub:
        return stub[1], stub[2], stub[3]
    named = _FILE_NAME.search(path)
    by_path = (named[1], named[2], named[3] or "") if named else ("", "", "")
    return (
        _first(_NAME, text) or by_path[0],
        _first(_VERSION, text) or by_path[1],
        _first(_PLATFORM, text) or by_path[2],
    )


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield the gem.

    Raises:
        MalformedFileError: neither the file nor its name gives a name and a version.
    """
    text = file.data[:].decode("utf-8", "replace")
    name, version, platform = _identity(text, file.path)
    if not name or not version:
        raise MalformedFileError(file.path, "no name and version of a gem")
    yield Package(
        purl_type="gem",
        name=name,
        version=version,
        path=file.path,
        qualifiers={"platform": platform} if platform not in ("", _NO_PLATFORM) else {},
        licenses=tuple(_QUOTED.findall(_first(_LICENSES, text))),
    )


ANALYZERS: Final = (
    FileAnalyzer(
        name="ruby/gems",
        version=1,
        interest=Interest(
            globs=("**/specifications/*.gemspec", "**/specifications/default/*.gemspec")
        ),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="installed Ruby gems, default gems included",
        purl_types=("gem",),
    ),
)
