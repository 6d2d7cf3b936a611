"""OCI image nouns: descriptor, platform, manifest, index, config.

Source: https://github.com/opencontainers/image-spec
"""

from __future__ import annotations

import msgspec

from scanner.model.digest import DiffID, Digest

INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFEST_TYPES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
SCHEMA1_TYPES = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
CONFIG_TYPES = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)


class Platform(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """os/architecture[/variant], normalised (x86_64 is amd64, arm64 has no variant v8 …)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        """``linux/arm/v7``."""
        return "/".join(p for p in (self.os, self.architecture, self.variant) if p)


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """mediaType + digest + size of some content."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = {}
    urls: tuple[str, ...] = ()
    artifact_type: str = ""
    data: bytes | None = None
    """Inlined content, already checked against digest and size by whoever parsed it."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image of one platform."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}
    artifact_type: str = ""


class Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Manifests per platform; may nest."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One build step; entries that are not ``empty_layer`` map in order onto layers."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Docker's health check; ``test`` is ``["NONE"]``, ``["CMD", …]`` or ``["CMD-SHELL", "…"]``."""

    test: tuple[str, ...] = ()


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the image says about how to run it."""

    platform: Platform = Platform()
    created: str = ""
    user: str = ""
    env: tuple[str, ...] = ()
    """``KEY=value`` as written."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    on_build: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    diff_ids: tuple[DiffID, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
