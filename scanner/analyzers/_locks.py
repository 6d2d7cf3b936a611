"""Shared by readers of lock files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scanner.analyzers._read import table
from scanner.errors import MalformedFileError
from scanner.model import Package


def tables(document: Mapping[str, Any], key: str, *, path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the tables of the list at ``key``; none where the key is missing.

    Raises:
        MalformedFileError: the value is no list, or holds something that is no table.
    """
    values = document.get(key, [])
    if not isinstance(values, list):
        raise MalformedFileError(path, f"{key}: expected a list, got {type(values).__name__}")
    for value in values:
        yield table(value, path=path, what=key)


def npm_packages(found: Iterable[tuple[str, str]], path: str) -> Iterator[Package]:
    """Yield a declared package for each different (full name, version), in order of first mention."""
    for full_name, version in dict.fromkeys(found):
        scope, _, name = full_name.rpartition("/")
        if name:
            yield Package(
                purl_type="npm",
                namespace=scope,
                name=name,
                version=version,
                path=path,
                declared=True,
            )


def is_inside_package(path: str) -> bool:
    """Whether a lock file was published inside a package: it says nothing about what is installed there."""
    return "node_modules/" in path


def split_specifier(text: str) -> tuple[str, str]:
    """Return name and rest of ``name@rest`` or ``@scope/name@rest``; without ``@``, the rest is empty."""
    at = text.find("@", 1)
    return (text, "") if at < 0 else (text[:at], text[at + 1 :])
