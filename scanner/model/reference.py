"""Image references and platforms: text in, frozen nouns out.

Source: https://github.com/distribution/reference
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

import msgspec

from scanner.errors import InvalidReferenceError
from scanner.model.digest import Digest, parse_digest
from scanner.model.oci import Platform

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"
_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HUB_API_HOST = "registry-1.docker.io"
_TEXT_LENGTH = 1_024
_NAME_LENGTH = 255
_PORT_MAXIMUM = 65_535

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?P<ipv6>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{{1,5}}))?\Z"
)
_PATH_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*\Z")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_PLATFORM_PART = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")

_OS_ALIASES = {"macos": "darwin"}
_ARCHITECTURE_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
}
_DROPPED_VARIANTS = frozenset({("amd64", "v1"), ("arm64", "v8")})
_ARM_VARIANT = "v7"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """registry/repository[:tag][@digest], every default filled in. The digest wins over the tag."""

    registry: str
    """``host[:port]`` in lower case; Docker Hub is ``docker.io`` whatever it was written as."""
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @property
    def api_host(self) -> str:
        """``host[:port]`` that answers ``/v2/``."""
        return _HUB_API_HOST if self.registry == DOCKER_HUB else self.registry

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        """``docker.io/library/alpine:3.20``."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Return ``[host[:port]/]path[:tag][@digest]`` as a reference.

    Raises:
        InvalidReferenceError: bad host, repository, tag or digest, or longer than 1,024 characters.
    """
    if len(text) > _TEXT_LENGTH:
        raise InvalidReferenceError(text[:64] + "…", f"longer than {_TEXT_LENGTH} characters")
    named, at, digest_text = text.partition("@")
    digest = parse_digest(digest_text) if at else None
    host, path = _split_host(named)
    repository, tag = _split_tag(path)
    registry = _check_host(text, host)
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if not _REPOSITORY.match(repository):
        raise InvalidReferenceError(
            text, "the repository must be lower-case letters, digits and . _ - /"
        )
    if len(registry) + 1 + len(repository) > _NAME_LENGTH:
        raise InvalidReferenceError(text, f"the name is longer than {_NAME_LENGTH} characters")
    if tag is not None and not _TAG.match(tag):
        raise InvalidReferenceError(text, "the tag must be 1 to 128 letters, digits and . _ -")
    default = "" if digest else DEFAULT_TAG
    return Reference(registry=registry, repository=repository, tag=tag or default, digest=digest)


def _split_host(named: str) -> tuple[str, str]:
    """Return host and path; the first part is a host if it looks like one and something follows."""
    first, slash, rest = named.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return first, rest
    return DOCKER_HUB, named


def _split_tag(path: str) -> tuple[str, str | None]:
    head, slash, last = path.rpartition("/")
    name, colon, tag = last.partition(":")
    return f"{head}{slash}{name}", tag if colon else None


def _check_host(text: str, host: str) -> str:
    lowered = host.lower()
    if lowered in _HUB_ALIASES:
        return DOCKER_HUB
    match = _HOST.match(lowered)
    if not match or not _is_port(match["port"]) or not _is_ipv6(match["ipv6"]):
        raise InvalidReferenceError(text, f"{host!r} is not a host name with an optional port")
    return lowered


def _is_port(port: str | None) -> bool:
    return port is None or 0 < int(port) <= _PORT_MAXIMUM


def _is_ipv6(address: str | None) -> bool:
    try:
        return address is None or bool(IPv6Address(address))
    except AddressValueError:
        return False


def parse_platform(text: str) -> Platform:
    """Return ``os/architecture[/variant]`` as a platform, normalised.

    Raises:
        InvalidReferenceError: not two or three parts of letters, digits and ``_ . -``.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(_PLATFORM_PART.match(part) for part in parts):
        raise InvalidReferenceError(
            text[:160], "a platform is os/architecture[/variant], like linux/arm64"
        )
    os, architecture, *variant = parts
    return normalise_platform(
        Platform(os=os, architecture=architecture, variant=variant[0] if variant else "")
    )


def normalise_platform(platform: Platform) -> Platform:
    """Return the one spelling of a platform: x86_64 is amd64, arm alone is arm/v7, arm64/v8 is arm64."""
    os = platform.os.lower()
    written = platform.architecture.lower()
    architecture, implied = _ARCHITECTURE_ALIASES.get(written, (written, ""))
    variant = platform.variant.lower() or implied
    if variant.isdecimal():
        variant = f"v{variant}"
    if architecture == "arm" and not variant:
        variant = _ARM_VARIANT
    if (architecture, variant) in _DROPPED_VARIANTS:
        variant = ""
    return Platform(
        os=_OS_ALIASES.get(os, os),
        architecture=architecture,
        variant=variant,
        os_version=platform.os_version,
    )
