"""Settings: one typed tree, from a file, the environment and options, in that order of growing weight.

A setting ``section.name`` is ``[section] name = …`` in the file and ``SCANNER_SECTION_NAME`` in the
environment (lists separated by commas). A section that there can be several of has a name of its own:
``[webhooks.NAME]``, ``SCANNER_WEBHOOKS_NAME_SECRET``. ``scanner settings`` lists them all.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit, urlunsplit

import msgspec

from scanner.errors import SettingsError
from scanner.model import Severity
from scanner.ports.limits import Limits

ENVIRONMENT_PREFIX: Final = "SCANNER_"
_SECRET_NAMES: Final = frozenset({"password", "secret"})
_MAY_BE_ZERO: Final = frozenset({"retries_count", "workers"})
_MAP_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_ANY_NAME: Final = "NAME"
"""Stands for the name of a section that there can be several of, where none is configured."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where results are kept."""

    directory: str = ""
    """Directory of the database and its locks. Default: $XDG_DATA_HOME/scanner or ~/.local/share/scanner."""
    url: str = ""
    """Database of the service: postgresql://user:password@host/name. Default: SQLite in ``store.directory``."""
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


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ``scanner serve`` is reached, and what it may be asked."""

    listen: str = "127.0.0.1:8080"
    """host:port to listen on; [::]:8080 for every address."""
    tls_certificate: str = ""
    """PEM file with the certificate and its chain; with ``server.tls_key`` makes it https. Read anew when it changes."""
    tls_key: str = ""
    """PEM file with the certificate's private key."""
    public_url: str = ""
    """Where clients reach the service, if not at the address it listens on: https://scanner.example."""
    open: bool = False
    """Answer without a token as long as none exists; only where ``server.listen`` is this machine alone."""
    allowed_registries: tuple[str, ...] = ()
    """host[:port] of registries that webhooks and requests may have scanned; ``*.example.com`` for all below, ``*`` for any. Those of ``webhooks.NAME.host`` are always allowed."""
    workers: int = 1
    """Worker processes that ``scanner serve`` runs; 0 where they run elsewhere (``scanner worker``)."""
    body_bytes: int = 1024 * 1024
    """Largest request body."""
    drain_seconds: float = 30.0
    """Longest that requests and workers may take to finish when told to stop."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important lines to log: debug, info, warning or error."""
    log_format: Literal["json", "text"] = "json"
    """Form of a log line: json or text."""


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sender of push events, at ``/v1/webhooks/NAME``."""

    dialect: str = ""
    """Whose events these are, as ``scanner plugins`` lists them. Default: the section's name."""
    auth: Literal[
        "bearer", "signature", "basic", "authorization", "header", "path", "oidc", "none"
    ] = "bearer"
    """How the sender proves who it is: bearer, signature (HMAC), basic, authorization (the whole header), header, path (/v1/webhooks/NAME/SECRET), oidc or none."""
    secret: str = ""
    """What is shared with the sender. Prefer the environment or ``secret_file``."""
    secret_file: str = ""
    """File that holds the secret; white space around it does not count."""
    username: str = ""
    """For basic."""
    header: str = ""
    """For header: its name."""
    audience: str = ""
    """For oidc: the audience that the token must be for."""
    emails: tuple[str, ...] = ()
    """For oidc: accounts that may send."""
    host: str = ""
    """host[:port] of the registry, whatever the event says. Needed where events do not tell (Zot, Nexus)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting there is."""

    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    scan: ScanSettings = ScanSettings()
    server: ServerSettings = ServerSettings()
    webhooks: dict[str, WebhookSettings] = {}
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
    for section, struct in _maps():
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
            variable=_variable(section, info.name),
            description=_descriptions(type(part)).get(info.name, ""),
        )
        for section, part in _parts(settings)
        for info in msgspec.structs.fields(type(part))
    ]


def _parts(settings: Settings) -> Iterator[tuple[str, msgspec.Struct]]:
    """Yield every section by its full name."""
    for field in msgspec.structs.fields(Settings):
        part = getattr(settings, field.name)
        if isinstance(part, dict):
            yield from ((f"{field.name}.{name}", one) for name, one in sorted(part.items()))
        else:
            yield field.name, part


def _maps() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield the sections that there can be several of."""
    for field in msgspec.structs.fields(Settings):
        if get_origin(field.type) is dict:
            yield field.name, get_args(field.type)[1]


def _sections(values: Mapping[str, Any]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield the sections there are, in order; of a map section those that ``values`` names."""
    maps = dict(_maps())
    for field in msgspec.structs.fields(Settings):
        if field.name not in maps:
            yield field.name, field.type
            continue
        for name in sorted(n for n in values if n.startswith(f"{field.name}.")):
            yield name, maps[field.name]


def _variable(section: str, name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{section}_{name}".upper().replace(".", "_").replace("-", "_")


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


def _load(
    file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    origins: dict[str, str] = {}
    values = _from_file(file, environment, origins)
    _add_named_sections(values, environment)
    for section, struct in _sections(values):
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


def _add_named_sections(values: dict[str, dict[str, Any]], environment: Mapping[str, str]) -> None:
    """Add the sections that only the environment has: ``SCANNER_WEBHOOKS_MY_HARBOR_SECRET`` names my-harbor."""
    for section, struct in _maps():
        prefix = _variable(section, "")
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
    for section, _ in _maps():
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
            converted[section] = msgspec.convert(values.get(section, {}), struct, strict=False)
        except msgspec.ValidationError as error:
            # Only our own words of the message: a value may be a password.
            reason, _, place = str(error).partition(" - at ")
            name = f"{section}.{place.strip('`').removeprefix('$.').partition('[')[0]}"
            raise SettingsError(origins.get(name, name), f"{name}: {reason}") from error
    named: dict[str, Any] = {section: {} for section, _ in _maps()}
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
    for section, part in _parts(settings):
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
