"""Lock files of Python: Poetry, uv, PDM, pylock.toml (PEP 751) and Pipenv.

An entry without version comes from a directory or repository, and is left out.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
Source: https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile
Source: https://github.com/pypa/pipfile
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scanner.analyzers._locks import tables
from scanner.analyzers._read import optional_text, read_json, read_toml, table, text
from scanner.errors import MalformedFileError
from scanner.model import Package
from scanner.ports import FileAnalyzer, Interest, LayerFile

_ELSEWHERE: Final = ("source", "vcs", "directory", "archive")


def _package(name: str, version: str, path: str) -> Package:
    return Package(
        purl_type="pypi",
        name=name.lower().replace("_", "-"),
        version=version,
        path=path,
        declared=True,
    )


def _locked(entries: Iterator[Mapping[str, Any]], path: str) -> Iterator[Package]:
    for entry in entries:
        name, version = text(entry, "name", path=path), optional_text(entry, "version")
        if version:
            yield _package(name, version, path)
        elif "version" in entry or not any(key in entry for key in _ELSEWHERE):
            raise MalformedFileError(path, "version: expected a string")


def parse(file: LayerFile) -> Iterator[Package]:
    """Yield one package per ``[[package]]`` (pylock.toml: ``[[packages]]``) with a version, in file order.

    Raises:
        MalformedFileError: not TOML, or a table without string name, or without version and source.
    """
    document = read_toml(file)
    for key in ("package", "packages"):
        yield from _locked(tables(document, key, path=file.path), file.path)


def parse_pipfile(file: LayerFile) -> Iterator[Package]:
    """Yield what ``default`` and then ``develop`` pin.

    Raises:
        MalformedFileError: not JSON, or of another shape.
    """
    document = table(read_json(file), path=file.path)
    for group in ("default", "develop"):
        for name, value in table(document.get(group, {}), path=file.path, what=group).items():
            entry = table(value, path=file.path, what=group)
            version = optional_text(entry, "version").lstrip("=")
            if version:
                yield _package(text({"name": name}, "name", path=file.path), version, file.path)


ANALYZERS: Final = (
    FileAnalyzer(
        name="python/locks",
        version=1,
        interest=Interest(
            globs=(
                "**/poetry.lock",
                "**/uv.lock",
                "**/pdm.lock",
                "**/pylock.toml",
                "**/pylock.*.toml",
                "**/*.py.lock",
            )
        ),
        parse=parse,
        max_file_bytes=8 * 1024 * 1024,
        summary="Python distributions named by Poetry, uv, PDM and PEP 751 lock files",
        purl_types=("pypi",),
    ),
    FileAnalyzer(
        name="python/pipfile-lock",
        version=1,
        interest=Interest(globs=("**/Pipfile.lock",)),
        parse=parse_pipfile,
        max_file_bytes=8 * 1024 * 1024,
        summary="Python distributions named by Pipenv's lock file",
        purl_types=("pypi",),
    ),
)
