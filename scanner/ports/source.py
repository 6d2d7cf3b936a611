"""Where images come from.

A source answers with raw bytes; parsing and digest checks of manifests are done once, by
``scanner.sources._documents``, for all of them. Everything is synchronous: scans run in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Protocol, Self

from scanner.model import Descriptor
from scanner.ports.limits import Limits


class BlobStream(Protocol):
    """A blob being read, front to back, once."""

    def read(self, size: int, /) -> bytes:
        """Return 1..size bytes, or ``b""`` at the end.

        Raises:
            UpstreamError: cut connection that could not be resumed, time-out, bad status.
        """

    def close(self) -> None:
        """Let go of the connection or file; safe to call twice."""


class ImageSource(Protocol):
    """One opened reference."""

    reference: str
    """The reference as a person would write it again."""
    blobs_by_diff_id: bool
    """Layers are addressed by the digest of their *uncompressed* bytes (classic docker archive, rootfs
    directory), so the digest of what ``open_blob`` gives can't be checked, the diff_id can."""
    cacheable: bool
    """The same digest always stands for the same bytes, so reports may be stored under it. False for a
    rootfs directory, whose content is only known while it is read."""

    def root(self) -> tuple[Descriptor, bytes]:
        """Return what the reference names: descriptor and raw bytes of a manifest or index, digest checked."""

    def fetch_manifest(self, descriptor: Descriptor) -> bytes:
        """Return raw bytes of a manifest or nested index, size and digest checked."""

    def fetch_config(self, descriptor: Descriptor) -> bytes:
        """Return raw bytes of a config blob, size and digest checked, bounded by ``limits.config_bytes``."""

    def open_blob(self, descriptor: Descriptor) -> BlobStream:
        """Open a layer. Size and digest are the reader's to check."""

    def close(self) -> None:
        """Let go of everything."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Proxies:
    """Through whom registries are reached; URLs of http or https proxies, perhaps with a password."""

    http: str = field(default="", repr=False)
    """For plain http; empty: straight."""
    https: str = field(default="", repr=False)
    no_proxy: str = ""
    """Hosts that are reached straight, as NO_PROXY writes them."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What sources may need; plain values, so that they never read settings themselves."""

    limits: Limits
    spool_dir: Path
    insecure_hosts: frozenset[str] = frozenset()
    """``host[:port]`` that may be spoken to over plain http."""
    ca_file: Path | None = None
    username: str = ""
    password: str = ""
    docker_config: Path | None = None
    offline: bool = False
    allowed_realm_hosts: frozenset[str] = frozenset()
    """Token servers on other hosts that may be given credentials."""
    connect_seconds: float = 5.0
    idle_seconds: float = 60.0
    retries_count: int = 4
    longest_wait_seconds: float = inf
    """A registry that asks for a longer wait than this is left alone: the error tells for how long."""
    proxies: Proxies = Proxies()


@dataclass(frozen=True, slots=True)
class SourceFactory:
    """One kind of source. A leaf module below ``scanner.sources`` exports ``SOURCE``.

    ``open`` returns None for a reference that is not of its kind. Factories are asked in order of
    ``order`` (registry last, as anything may be a registry reference); a reference may force one by
    ``scheme:``, for example ``oci:``, ``docker-archive:``, ``dir:``, ``docker://``.
    """

    name: str
    schemes: tuple[str, ...]
    order: int
    accepts: Callable[[str], bool]
    """Whether a reference *without* scheme looks like ours (path exists and has our marks); cheap."""
    open: Callable[[str, SourceOptions], ImageSource]
    """Open a reference, its scheme already removed."""
    summary: str = ""
