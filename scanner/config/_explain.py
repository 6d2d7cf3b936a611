"""Every setting with its value, where that comes from and what it is for; never a secret."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec

from scanner.config._load import load_with_origins, named_sections, sections_of, variable_of

_SECRET_NAMES: Final = frozenset({"password", "secret", "token"})
_ANY_NAME: Final = "NAME"
"""Stands for the name of a section that there can be several of, where none is configured."""


class SettingInfo(NamedTuple):
    """One setting, as ``scanner settings`` shows it."""

    name: str
    type: str
    default: str
    value: str
    origin: str
    """``default``, the file's path, or the environment variable's name."""
    variable: str
    description: str


def explain_settings(
    file: Path | None, environment: Mapping[str, str] | None = None
) -> list[SettingInfo]:
    """Return every setting with its value and where that comes from; raises like :func:`load_settings`."""
    settings, origins = load_with_origins(
        file, {}, os.environ if environment is None else environment
    )
    for section, struct in named_sections():
        if not getattr(settings, section):
            template = {section: {_ANY_NAME: struct()}}
            settings = msgspec.structs.replace(settings, **template)
    return [
        SettingInfo(
            name=f"{section}.{info.name}",
            type=str(info.type).removeprefix("<class '").removesuffix("'>"),
            default=_shown(info.name, info.default),
            value=_shown(info.name, getattr(part, info.name)),
            origin=origins.get(f"{section}.{info.name}", "default"),
            variable=variable_of(section, info.name),
            description=_descriptions(type(part)).get(info.name, ""),
        )
        for section, part in sections_of(settings)
        for info in msgspec.structs.fields(type(part))
    ]


def _shown(name: str, value: object) -> str:
    if name in _SECRET_NAMES:
        return "(set)" if value else ""
    if name == "url":
        return _without_password(str(value))
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return urlunsplit(parts._replace(netloc=f"{name}{colon and ':***'}{at}{host}", query=""))


def _descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstrings below the fields of a struct, by name."""
    body = ast.parse(inspect.getsource(struct)).body[0]
    found: dict[str, str] = {}
    last = ""
    for node in getattr(body, "body", ()):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            and last
        ):
            found[last] = " ".join(node.value.value.split())
            last = ""
    return found
