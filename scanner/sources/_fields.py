"""Checked reads of untrusted JSON documents: typed values or ``MalformedManifestError``.

Null counts as left out everywhere, as it does for the runtimes.

Source: https://pkg.go.dev/encoding/json#Unmarshal
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from scanner.errors import MalformedManifestError

_VALUES_COUNT: Final = 500_000
"""Values in one document: every ``[]`` of three bytes costs sixty in memory."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

Table = Mapping[str, Any]
"""A JSON object with its keys folded to lower case."""


def read_document(raw: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in ``raw`` with folded keys; runtimes accept bad UTF-8, and so it is replaced.

    Raises:
        MalformedManifestError: not JSON, a key twice, nested too deep, or over 500,000 values.
    """
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > _VALUES_COUNT:
        raise MalformedManifestError(f"{what}: more than {_VALUES_COUNT} values")
    try:
        value = json.loads(
            raw.decode("utf-8", "replace"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise MalformedManifestError(f"{what}: nested too deep") from error
    except ValueError as error:
        raise MalformedManifestError(f"{what}: not JSON: {error}"[:200]) from error
    if not isinstance(value, dict):
        wrong(what, "an object", value)
    return read_table(value, what)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise MalformedManifestError("a key occurs twice in one object")
    return table


def _no_constant(text: str) -> NoReturn:
    raise MalformedManifestError(f"not JSON: {text}")


def wrong(where: str, wanted: str, value: object) -> NoReturn:
    """Raise: a value at ``where`` is of the wrong type."""
    raise MalformedManifestError(f"{where}: expected {wanted}, got {type(value).__name__}")


def read_table(value: object, where: str) -> dict[str, Any]:
    """Return an object (null: an empty one) with folded keys."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        wrong(where, "an object", value)
    folded = {key.casefold(): one for key, one in value.items()}
    if len(folded) != len(value):
        raise MalformedManifestError(f"{where}: two keys differ only in case")
    return folded


def read_list(value: object, where: str) -> list[Any]:
    """Return a list (null: an empty one)."""
    if value is None:
        return []
    if not isinstance(value, list):
        wrong(where, "a list", value)
    return value


def read_required_list(document: Table, key: str) -> list[Any]:
    """Return the list at a key that must be there."""
    if key not in document:
        raise MalformedManifestError(f"no {key}")
    return read_list(document[key], key)


def read_string(value: object, where: str) -> str:
    """Return text (null: empty), lone surrogates replaced, as they can't be written again."""
    if value is None:
        return ""
    if not isinstance(value, str):
        wrong(where, "text", value)
    return value if value.isascii() else _SURROGATES.sub("\ufffd", value)


def read_text(table: Table, key: str, where: str) -> str:
    """Return the text at ``key``; empty where it is missing or null."""
    return read_string(table.get(key), f"{where}.{key}")


def read_texts(value: object, where: str) -> tuple[str, ...]:
    """Return a list of texts."""
    return tuple(read_string(one, where) for one in read_list(value, where))


def read_command(value: object, where: str) -> tuple[str, ...]:
    """Return a list of texts; Docker also reads a single text."""
    return (read_string(value, where),) if isinstance(value, str) else read_texts(value, where)


def read_text_map(value: object, where: str) -> dict[str, str]:
    """Return an object of texts, its keys as written."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        wrong(where, "an object", value)
    return {read_string(key, where): read_string(one, where) for key, one in value.items()}


def read_keys(value: object, where: str) -> tuple[str, ...]:
    """Return the keys of an object whose values mean nothing (``ExposedPorts``)."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        wrong(where, "an object", value)
    return tuple(read_string(key, where) for key in value)
