"""Settings: one typed tree, from a file, the environment and options, in that order of growing weight.

A setting ``section.name`` is ``[section] name = …`` in the file and ``SCANNER_SECTION_NAME`` in the
environment (lists separated by commas). ``scanner settings`` lists them all.
"""

from __future__ import annotations

import ast
import inspect
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from scanner.errors import SettingsError
from scanner.ports.limits import Limits

ENVIRONMENT_PREFIX: Final = "SCANNER_"
_SECRET_NAMES: Final = frozenset({"password"})


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where results are kept."""

    directory: str = ""
    """Directory of the database and its locks. Default: $XDG_DATA_HOME/scanner or ~/.local/share/scanner."""
    cache_directory: str = ""
    """Compiled patterns and spool files. Default: $XDG_CACHE_HOME/scanner or ~/.cache/scanner."""


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How registries are spoken to."""

    insecure: tuple[str, ...] = ()
    """host[:port] of registries that may be spoken to over plain http."""
    ca_file: str = ""
    """PEM bundle of certificate authorities to trust instead of the system's."""
    username: str = ""
    """User for the registry; credentials of the docker config are used when empty."""
    password: str = ""
    """Password or token of that user. Prefer the environment to the file."""
    docker_config: str = ""
    """Docker config file or its directory. Default: $DOCKER_CONFIG or ~/.docker."""
    token_hosts: tuple[str, ...] = ()
    """Hosts of token servers, other than the registry's own, that may be given its credentials."""
    connect_seconds: float = 5.0
    """Longest wait for a connection."""
    retries_count: int = 4
    """Tries after a failure that can pass (429, 5xx, cut connections)."""


class ScanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How images are scanned."""

    platforms: tuple[str, ...] = ()
    """Platforms of an index to scan, as os/architecture[/variant]; all runnable ones when empty."""
    fail_on: str = ""
    """Lowest severity that makes the exit code 1: critical, high, medium, low or info; never when empty."""
    layers_parallel: int = 2
    """Layers read at once."""
    offline: bool = False
    """Never open a network connection."""
    secret_rules: tuple[str, ...] = ()
    """Files with further secret rules, in the form of the built-in ones."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting there is."""

    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    scan: ScanSettings = ScanSettings()
    limits: Limits = Limits()


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


def default_files(environment: Mapping[str, str]) -> list[Path]:
    """Return where a settings file is looked for; the first that exists is read."""
    home = environment.get("XDG_CONFIG_HOME") or str(
        Path(environment.get("HOME") or "/root") / ".config"
    )
    return [Path(home) / "scanner" / "scanner.toml", Path("/etc/scanner/scanner.toml")]


def load_settings(
    file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings. ``options`` maps ``section.name`` to values that win over everything.

    Raises:
        SettingsError: a file that is missing or not TOML, an unknown name, a value of the wrong type.
    """
    settings, _ = _load(file, options, os.environ if environment is None else environment)
    return settings


def explain_settings(
    file: Path | None, environment: Mapping[str, str] | None = None
) -> list[SettingInfo]:
    """Return every setting with its value and where that comes from; raises like :func:`load_settings`."""
    settings, origins = _load(file, {}, os.environ if environment is None else environment)
    return [
        SettingInfo(
            name=f"{section}.{name}",
            type=str(info.type).removeprefix("<class '").removesuffix("'>"),
            default=_shown(name, info.default),
            value=_shown(name, getattr(getattr(settings, section), name)),
            origin=origins.get(f"{section}.{name}", "default"),
            variable=_variable(section, name),
            description=_descriptions(struct).get(name, ""),
        )
        for section, struct in _sections()
        for name, info in ((f.name, f) for f in msgspec.structs.fields(struct))
    ]


def _sections() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for field in msgspec.structs.fields(Settings):
        yield field.name, field.type


def _variable(section: str, name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{section}_{name}".upper()


def _shown(name: str, value: object) -> str:
    if name in _SECRET_NAMES:
        return "(set)" if value else ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _load(
    file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    origins: dict[str, str] = {}
    values = _from_file(file, environment, origins)
    for section, struct in _sections():
        for field in msgspec.structs.fields(struct):
            name = f"{section}.{field.name}"
            variable = _variable(section, field.name)
            if variable in environment:
                text = environment[variable]
                _set(values, name, _split(text) if _is_list(field.type) else text)
                origins[name] = variable
            if name in options:
                _set(values, name, options[name])
                origins[name] = "option"
    return _convert(values, origins), origins


def _from_file(
    file: Path | None, environment: Mapping[str, str], origins: dict[str, str]
) -> dict[str, dict[str, Any]]:
    if file is None and environment.get("SCANNER_CONFIG"):
        file = Path(environment["SCANNER_CONFIG"])
    if file is None:
        file = next((f for f in default_files(environment) if f.is_file()), None)
    if file is None:
        return {}
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(str(file), error.strerror or "cannot be read") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(str(file), f"not TOML: {error}"[:200]) from error
    for section, table in values.items():
        if not isinstance(table, dict):
            raise SettingsError(str(file), f"{section}: expected a section [{section}]")
        origins.update({f"{section}.{name}": str(file) for name in table})
    return values


def _set(values: dict[str, dict[str, Any]], name: str, value: object) -> None:
    section, _, key = name.partition(".")
    values.setdefault(section, {})[key] = value


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_list(kind: object) -> bool:
    return str(kind).startswith("tuple")


def _convert(values: dict[str, dict[str, Any]], origins: Mapping[str, str]) -> Settings:
    known = dict(_sections())
    for section in values:
        if section not in known:
            where = next((o for n, o in origins.items() if n.startswith(f"{section}.")), section)
            raise SettingsError(where, f"unknown section [{section}]")
    converted: dict[str, msgspec.Struct] = {}
    for section, struct in known.items():
        try:
            converted[section] = msgspec.convert(values.get(section, {}), struct, strict=False)
        except msgspec.ValidationError as error:
            # Only our own words of the message: a value may be a password.
            key = str(error).rpartition("$.")[2].strip("`'") if "$." in str(error) else ""
            where = origins.get(f"{section}.{key}", f"[{section}]")
            reason = str(error).partition(" - at")[0]
            raise SettingsError(where, f"{section}.{key}: {reason}".replace(".: ", ": ")) from error
    settings = Settings(**converted)  # type: ignore[arg-type] # one struct per section
    _check_ranges(settings, origins)
    return settings


def _check_ranges(settings: Settings, origins: Mapping[str, str]) -> None:
    for section, struct in _sections():
        for field in msgspec.structs.fields(struct):
            value = getattr(getattr(settings, section), field.name)
            name = f"{section}.{field.name}"
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if numeric and value <= 0 and field.name != "retries_count":
                raise SettingsError(origins.get(name, name), f"{name}: must be above 0")


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
