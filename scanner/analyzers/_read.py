"""Checked reads for parsers: untrusted bytes in, typed values or ``MalformedFileError`` out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from scanner.errors import MalformedFileError
from scanner.ports import LayerFile

TOML_KEY_PARTS: Final = 16
_TOML_STRING_OR_COMMENT: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)|"[^"\\\n]*(?:\\.[^"\\\n]*)*"?'
    r"|'''.*?(?:'''|\Z)|'[^'\n]*'?|(?P<comment>#[^\n]*)",
    re.DOTALL,
)
_TOML_DELIMITER: Final = re.compile(r"[=,\[\]{}\n]")


def read_text(file: LayerFile) -> str:
    """Return the file as UTF-8 text, a byte order mark removed.

    Raises:
        MalformedFileError: not UTF-8.
    """
    try:
        return file.data[:].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedFileError(file.path, f"not UTF-8 at byte {error.start}") from error


def read_json(file: LayerFile) -> Any:
    """Return the file's JSON value.

    Raises:
        MalformedFileError: not UTF-8, not JSON, nested too deep, or a number too long to hold.
    """
    text = read_text(file)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise MalformedFileError(file.path, "nested too deep") from error
    except ValueError as error:
        raise MalformedFileError(file.path, f"not JSON: {error}"[:200]) from error


def _has_long_key(document: str) -> bool:
    """Whether a dotted key of TOML has more than ``TOML_KEY_PARTS`` parts."""
    if all(line.count(".") < TOML_KEY_PARTS for line in document.split("\n")):
        return False
    bare = _TOML_STRING_OR_COMMENT.sub(lambda m: "" if m["comment"] else "_", document)
    for piece in _TOML_DELIMITER.split(bare):
        parts_count = 0
        for part in piece.split("."):
            parts_count = parts_count + 1 if part.strip() else 0
            if parts_count > TOML_KEY_PARTS:
                return True
    return False


def read_toml(file: LayerFile) -> dict[str, Any]:
    """Return the file's TOML table.

    Raises:
        MalformedFileError: as :func:`read_json`, or a dotted key of more than ``TOML_KEY_PARTS`` parts
            (tomllib's time grows with the square of their number, and more).
    """
    text_ = read_text(file)
    if _has_long_key(text_):
        raise MalformedFileError(file.path, f"a key of more than {TOML_KEY_PARTS} parts")
    try:
        return tomllib.loads(text_)
    except RecursionError as error:
        raise MalformedFileError(file.path, "nested too deep") from error
    except ValueError as error:
        raise MalformedFileError(file.path, f"not TOML: {error}"[:200]) from error


def _is_storable(value: str) -> bool:
    """Whether text can be written as UTF-8: JSON may hold half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def table(value: object, *, path: str, what: str = "document") -> Mapping[str, Any]:
    """Return ``value`` if it is a table.

    Raises:
        MalformedFileError: it is anything else.
    """
    if not isinstance(value, dict):
        raise MalformedFileError(path, f"{what}: expected a table, got {type(value).__name__}")
    return value


def text(values: Mapping[str, Any], key: str, *, path: str) -> str:
    """Return the non-empty string at ``key``.

    Raises:
        MalformedFileError: missing, empty, not a string, or one that is no Unicode text.
    """
    value = values.get(key)
    if not isinstance(value, str) or not value or not _is_storable(value):
        raise MalformedFileError(path, f"{key}: expected a string")
    return value


def optional_text(values: Mapping[str, Any], key: str) -> str:
    """Return the string at ``key``, or an empty one where it is missing or something else."""
    value = values.get(key)
    return value if isinstance(value, str) and _is_storable(value) else ""
