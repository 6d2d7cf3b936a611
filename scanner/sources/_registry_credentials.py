"""Credentials for one registry: given, from a docker or podman config file, or from a helper program.

Source: https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scanner.errors import SettingsError
from scanner.model import Reference
from scanner.model.reference import DOCKER_HUB
from scanner.ports import SourceOptions

_HUB_KEY: Final = "https://index.docker.io/v1/"
_HUB_KEYS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_CONFIG_BYTES: Final = 4 * 1024 * 1024
_HELPER_SECONDS: Final = 30.0
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_IDENTITY_USER: Final = "<token>"
_NOT_FOUND: Final = b"credentials not found"


@dataclass(frozen=True, slots=True)
class Credential:
    """What to log in with; all empty: anonymously. Secrets stay out of ``repr``."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """Traded for an access token at the token server (OAuth2 refresh token)."""
    registry_token: str = field(default="", repr=False)
    """A bearer token for the registry itself."""

    def __bool__(self) -> bool:
        """Whether there is anything to log in with."""
        return bool(self.username or self.password or self.identity_token or self.registry_token)

    @property
    def basic(self) -> str:
        """``Authorization`` header of user and password."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must not be repeated in a message."""
        basic = (self.basic.removeprefix("Basic "),) if self.password else ()
        return (self.password, self.identity_token, self.registry_token, *basic)


ANONYMOUS: Final = Credential()


def find_credential(reference: Reference, options: SourceOptions) -> Credential:
    """Return the credential for a reference's registry; ANONYMOUS where there is none.

    Asked in this order: the options, docker's config, podman's ``auth.json``.

    Raises:
        SettingsError: a config file is malformed, or its credential helper is missing or fails.
    """
    if options.username or options.password:
        return Credential(username=options.username, password=options.password)
    for path in _config_paths(options.docker_config):
        found = _from_config(_read_config(path), reference, str(path))
        if found:
            return found
    return ANONYMOUS


def _config_paths(given: Path | None) -> Iterator[Path]:
    """Yield config files that exist; one that was named must."""
    if given is not None:
        path = given / "config.json" if given.is_dir() else given
        if not _is_file(path):
            raise SettingsError(str(path), "no such docker config file")
        yield path
        return
    docker, runtime = os.environ.get("DOCKER_CONFIG"), os.environ.get("XDG_RUNTIME_DIR")
    paths = [(Path(docker) if docker else _home() / ".docker") / "config.json"]
    if runtime:
        paths.append(Path(runtime) / "containers" / "auth.json")
    yield from filter(_is_file, paths)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without a home, as in many containers
        return Path("/")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # another user's home
        return False


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_CONFIG_BYTES + 1)
        config = json.loads(raw)
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        # Not chained: the decoder's error holds the document, and so the passwords.
        raise SettingsError(str(path), "not JSON") from None
    if not isinstance(config, dict):
        raise SettingsError(str(path), "not a JSON object")
    return config


def _from_config(config: Mapping[str, Any], reference: Reference, where: str) -> Credential:
    helper = _lookup(_table(config, "credHelpers", where), reference)
    if helper is not None:
        return _ask_helper(helper, reference, where, must_exist=True)
    entry = _lookup(_table(config, "auths", where), reference)
    found = _from_entry(entry, where) if isinstance(entry, dict) else ANONYMOUS
    store = config.get("credsStore")
    if found or not store:
        return found
    return _ask_helper(store, reference, where, must_exist=False)


def _table(config: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise SettingsError(where, f"{key} is not an object")
    return value


def _lookup(table: Mapping[str, Any], reference: Reference) -> object:
    """Return the entry for the repository, else for its parents, else for the registry."""
    by_name = {_entry_name(key): value for key, value in table.items()}
    name = reference.name
    while name:
        if name in by_name:
            return by_name[name]
        name = name.rpartition("/")[0]
    return None


def _entry_name(key: str) -> str:
    """Return ``host[:port][/path]`` of a key, which may be written as a URL."""
    name = re.sub(r"\Ahttps?://", "", key.strip())
    name = re.sub(r"/v[12]/?\Z", "", name).rstrip("/")
    host, slash, path = name.partition("/")
    host = DOCKER_HUB if host.lower() in _HUB_KEYS else host.lower()
    return f"{host}{slash}{path}"


def _from_entry(entry: Mapping[str, Any], where: str) -> Credential:
    username, password = _text(entry, "username"), _text(entry, "password")
    encoded = _text(entry, "auth")
    if encoded:
        username, password = _decode_auth(encoded, where)
    return Credential(
        username=username,
        password=password,
        identity_token=_text(entry, "identitytoken"),
        registry_token=_text(entry, "registrytoken"),
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _decode_auth(encoded: str, where: str) -> tuple[str, str]:
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise SettingsError(where, "an auth entry is not base64 of user:password") from None
    username, colon, password = pair.partition(":")
    if not colon:
        raise SettingsError(where, "an auth entry is not base64 of user:password")
    return username, password.rstrip("\0")


def _ask_helper(name: object, reference: Reference, where: str, *, must_exist: bool) -> Credential:
    """Return what ``docker-credential-<name> get`` says; a missing store counts as logged out."""
    if not isinstance(name, str) or not _HELPER.match(name):
        raise SettingsError(where, "the name of a credential helper is malformed")
    program = shutil.which(f"docker-credential-{name}")
    if program is None:
        if must_exist:
            raise SettingsError(where, f"docker-credential-{name} is not installed")
        return ANONYMOUS
    server = _HUB_KEY if reference.registry == DOCKER_HUB else reference.registry
    output = _run_helper(program, server, where, name)
    return _parse_helper(output, where, name) if output else ANONYMOUS


def _run_helper(program: str, server: str, where: str, name: str) -> bytes:
    """Return the helper's output; empty if it knows no credentials."""
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user's own config names
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(where, f"docker-credential-{name} gave no answer in time") from None
    except OSError as error:
        raise SettingsError(where, f"docker-credential-{name}: {error.strerror}") from error
    if done.returncode == 0:
        return done.stdout
    if _NOT_FOUND in done.stdout + done.stderr:
        return b""
    raise SettingsError(where, f"docker-credential-{name} failed with status {done.returncode}")


def _parse_helper(output: bytes, where: str, name: str) -> Credential:
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise SettingsError(where, f"docker-credential-{name} did not answer with a JSON object")
    username, secret = _text(answer, "Username"), _text(answer, "Secret")
    if username == _IDENTITY_USER:
        return Credential(identity_token=secret)
    return Credential(username=username, password=secret)
