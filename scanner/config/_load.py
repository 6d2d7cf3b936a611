"""Read the settings: the file, then the environment, then options; every defect is named with its place."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from scanner.config._sections import Settings
from scanner.decoding import convert
from scanner.errors import SettingsError
from scanner.model import Severity

ENVIRONMENT_PREFIX: Final = "SCANNER_"
_MAY_BE_ZERO: Final = frozenset(
    {
        *("retries_count", "workers", "wait_seconds"),
        *("scans_days", "images_days", "deliveries_days", "decisions_days"),
    }
)
_MAP_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")


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
    settings, _ = load_with_origins(
        file, options, os.environ if environment is None else environment
    )
    return settings


def sections_of(settings: Settings) -> Iterator[tuple[str, msgspec.Struct]]:
    """Yield every section by its full name."""
    for field in msgspec.structs.fields(Settings):
        part = getattr(settings, field.name)
        if isinstance(part, dict):
            yield from ((f"{field.name}.{name}", one) for name, one in sorted(part.items()))
        else:
            yield field.name, part


def named_sections() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield the sections that there can be several of."""
    for field in msgspec.structs.fields(Settings):
        if get_origin(field.type) is dict:
            yield field.name, get_args(field.type)[1]


def _sections(values: Mapping[str, Any]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield the sections there are, in order; of a map section those that ``values`` names."""
    maps = dict(named_sections())
    for field in msgspec.structs.fields(Settings):
        if field.name not in maps:
            yield field.name, field.type
            continue
        for name in sorted(n for n in values if n.startswith(f"{field.name}.")):
            yield name, maps[field.name]


def variable_of(section: str, name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{section}_{name}".upper().replace(".", "_").replace("-", "_")


def load_with_origins(
    file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    """Return the settings and where each that is not the default comes from; raises like :func:`load_settings`."""
    origins: dict[str, str] = {}
    values = _from_file(file, environment, origins)
    _add_named_sections(values, environment)
    for section, struct in _sections(values):
        for field in msgspec.structs.fields(struct):
            name = f"{section}.{field.name}"
            variable = variable_of(section, field.name)
            if variable in environment:
                text = environment[variable]
                _set(values, name, _split(text) if _is_list(field.type) else text)
                origins[name] = variable
            if name in options:
                _set(values, name, options[name])
                origins[name] = "option"
    return _convert(values, origins), origins


def _add_named_sections(values: dict[str, dict[str, Any]], environment: Mapping[str, str]) -> None:
    """Add the sections that only the environment has: ``SCANNER_WEBHOOKS_MY_HARBOR_SECRET`` names my-harbor."""
    for section, struct in named_sections():
        prefix = variable_of(section, "")
        keys = sorted((f.name for f in msgspec.structs.fields(struct)), key=len, reverse=True)
        for variable in environment:
            key = next((k for k in keys if variable.endswith(f"_{k.upper()}")), "")
            name = variable.removeprefix(prefix)[: -len(key) - 1].lower().replace("_", "-")
            if key and variable.startswith(prefix) and _MAP_NAME.match(name):
                values.setdefault(f"{section}.{name}", {})


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
    values = _flattened(values, str(file))
    _check_names(values, str(file))
    origins.update({f"{s}.{name}": str(file) for s, table in values.items() for name in table})
    return values


def _flattened(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the tables of a file by full name: ``[webhooks.x]`` is one of its own."""
    flat = dict(values)
    for section, _ in named_sections():
        named = flat.pop(section, {})
        if not isinstance(named, dict):
            raise SettingsError(where, f"{section}: expected sections [{section}.NAME]")
        for name, table in named.items():
            if not _MAP_NAME.match(name):
                raise SettingsError(
                    where, f"[{section}.{name}]: a name is lower-case letters, digits and -"
                )
            flat[f"{section}.{name}"] = table
    return flat


def _check_names(values: Mapping[str, Any], where: str) -> None:
    sections = dict(_sections(values))
    for section, table in values.items():
        if not isinstance(table, dict):
            raise SettingsError(where, f"{section}: expected a section [{section}]")
        if section not in sections:
            raise SettingsError(where, f"unknown section [{section}]")
        known = {field.name for field in msgspec.structs.fields(sections[section])}
        for name in table:
            if name not in known:
                raise SettingsError(where, f"unknown setting {section}.{name}")


def _set(values: dict[str, dict[str, Any]], name: str, value: object) -> None:
    section, _, key = name.rpartition(".")
    values.setdefault(section, {})[key] = value


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_list(kind: object) -> bool:
    return str(kind).startswith("tuple")


def _convert(values: dict[str, dict[str, Any]], origins: Mapping[str, str]) -> Settings:
    converted: dict[str, msgspec.Struct] = {}
    for section, struct in _sections(values):
        try:
            converted[section] = convert(values.get(section, {}), struct, strict=False)
        except msgspec.ValidationError as error:
            # Only our own words of the message: a value may be a password.
            reason, _, place = str(error).partition(" - at ")
            name = f"{section}.{place.strip('`').removeprefix('$.').partition('[')[0]}"
            raise SettingsError(origins.get(name, name), f"{name}: {reason}") from error
    named: dict[str, Any] = {section: {} for section, _ in named_sections()}
    for full_name, part in converted.items():
        section, dot, name = full_name.partition(".")
        if dot:
            named[section][name] = part
        else:
            named[section] = part
    settings = Settings(**named)
    _check_ranges(settings, origins)
    return settings


def _check_ranges(settings: Settings, origins: Mapping[str, str]) -> None:
    for section, part in sections_of(settings):
        for field in msgspec.structs.fields(type(part)):
            value = getattr(part, field.name)
            name = f"{section}.{field.name}"
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            least = 0 if field.name in _MAY_BE_ZERO else None
            if not (value > 0 or value == least):  # not a number is neither
                reason = "must be above 0" if least is None else "must not be below 0"
                raise SettingsError(origins.get(name, name), f"{name}: {reason}")
    if settings.scan.fail_on and settings.scan.fail_on not in set(Severity):
        where = origins.get("scan.fail_on", "scan.fail_on")
        raise SettingsError(where, f"scan.fail_on: expected one of {', '.join(Severity)}")
