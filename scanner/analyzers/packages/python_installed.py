"""Installed Python distributions: dist-info, egg-info, and what pip vendors without metadata.

Copies bundled inside another distribution (a path with ``/_vendor/``) are reported like any other: their
code is in the image. ``pip list`` leaves them out, so a comparison with it filters on the path.
Names are lower case with ``-`` for ``_``, as in purls.

Source: https://packaging.python.org/en/latest/specifications/core-metadata/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_HEADER_BYTES: Final = 1024 * 1024
_LICENSE_CHARACTERS: Final = 200
_HEADER_END: Final = re.compile(rb"\r?\n\r?\n")
_FIELD: Final = re.compile(
    r"^(name|version|license-expression|license)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_DIST_INFO: Final = re.compile(r"(?:^|/)([^/]+?)-([^/-]+)\.dist-info/METADATA\Z")
_EGG_INFO: Final = re.compile(
    r"(?:^|/)([^/-]+)-([^/-]+)(?:-py[^/-]+)?(?:-[^/]+)?\.egg(?:-info)?(?:/PKG-INFO|/EGG-INFO/PKG-INFO)?\Z"
)
_LEFTOVER: Final = re.compile(r"(?:^|/)~[^/]*(?:/[^/]*)?\Z")
"""Where an interrupted uninstall of pip moved the files; pip itself does not count these."""
_VENDORED_PIN: Final = re.compile(
    r"^[ \t]*([A-Za-z0-9][\w.-]*)[ \t]*==[ \t]*([\w.!+-]+)", re.MULTILINE
)


def _fields(file: LayerFile) -> dict[str, str]:
    """Return the wanted header fields by lower-case name; the first of a name wins."""
    head = file.data[:_HEADER_BYTES]
    end = _HEADER_END.search(head)
    text = head[: end.start() if end else len(head)].decode("utf-8", "replace")
    found: dict[str, str] = {}
    for field in _FIELD.finditer(text.removeprefix("\ufeff")):
        found.setdefault(field[1].lower(), field[2].strip())
    return found


def _from_path(path: str) -> tuple[str, str]:
    named = _DIST_INFO.search(path) or _EGG_INFO.search(path)
    return (named[1], named[2]) if named else ("", "")


def _licenses(fields: dict[str, str]) -> tuple[str, ...]:
    """Return the licence if it is an expression or a name; some put the whole text there."""
    text = fields.get("license-expression") or fields.get("license", "")
    wanted = text and "\n" not in text and len(text) <= _LICENSE_CHARACTERS and text != "UNKNOWN"
    return (text,) if wanted else ()


def normalised(name: str) -> str:
    """Return a distribution's name as purls spell it."""
    return name.lower().replace("_", "-")


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield the distribution that a metadata file describes; its directory stands in for missing fields.

    Raises:
        MalformedFileError: neither the file nor its directory gives a name and a version.
    """
    if _LEFTOVER.search(file.path):
        return
    fields = _fields(file)
    path_name, path_version = _from_path(file.path)
    name = fields.get("name") or path_name
    version = fields.get("version") or path_version
    if not name or not version:
        raise MalformedFileError(file.path, "no name and version of a Python distribution")
    yield Package(
        purl_type="pypi",
        name=normalised(name),
        version=version,
        path=file.path,
        licenses=_licenses(fields),
    )


def parse_vendored(file: LayerFile) -> Iterator[Package]:
    """Yield what pip carries inside itself, in file order."""
    for pin in _VENDORED_PIN.finditer(file.data[:].decode("utf-8", "replace")):
        yield Package(purl_type="pypi", name=normalised(pin[1]), version=pin[2], path=file.path)


ANALYZERS: Final = (
    FileAnalyzer(
        name="python/installed",
        version=1,
        interest=Interest(
            globs=(
                "**/*.dist-info/METADATA",
                "**/*.egg-info/PKG-INFO",
                "**/*.egg-info",
                "**/EGG-INFO/PKG-INFO",
            )
        ),
        parse=parse,
        max_file_bytes=16 * 1024 * 1024,
        summary="installed Python distributions",
        purl_types=("pypi",),
    ),
    FileAnalyzer(
        name="python/pip-vendored",
        version=1,
        interest=Interest(globs=("**/pip/_vendor/vendor.txt",)),
        parse=parse_vendored,
        max_file_bytes=1024 * 1024,
        summary="Python distributions bundled inside pip",
        purl_types=("pypi",),
    ),
)
