"""What a feed is: advisories, or what else is known of vulnerabilities, from one publisher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeAlias

import msgspec

from scanner.model.advisory import Advisory, Enrichment


class FileMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the publisher calls the edition of a file; sent back to ask whether there is a newer one."""

    path: str
    etag: str = ""
    last_modified: str = ""


class FetchedFile(NamedTuple):
    """A file of a feed, on this machine."""

    path: Path
    mark: FileMark


class FeedSource(Protocol):
    """Where the files of a feed come from: its publisher, a mirror, a directory."""

    name: str
    """URL or path, without credentials."""

    def fetch(self, path: str, target: Path, mark: FileMark | None) -> FetchedFile | None:
        """Bring a file here; None if it is still the edition that ``mark`` names.

        ``target`` is where it may be put; what is left there by a call that did not end well is continued by the next.

        Raises:
            UpstreamError: it cannot be had; also its subclasses.
            LimitExceededError: it is too large, or takes too long.
            StoreError: the disk is full, or cannot be written.
        """

    def read_pointer(self, path: str) -> str:
        """Return the name that a small text holds; raises like :meth:`fetch`, and MalformedFileError if it is none."""

    def close(self) -> None:
        """Let go of everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFile:
    """One file of a feed, on this machine and open; never longer than the update allows."""

    name: str
    """Path below the feed's address, for messages."""
    stream: BinaryIO
    """Seekable, at its beginning."""
    unit: str
    """What is being built: ``PyPI``, ``Alpine:v3.20``, ``kev``."""


class Enriched(NamedTuple):
    """What a feed says of one id."""

    id: str
    enrichment: Enrichment


class RefusedRecord(NamedTuple):
    """A record that cannot be read. A few among many are told and left out; more end the update."""

    where: str
    reason: str


FeedItem: TypeAlias = Advisory | Enriched | RefusedRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One publisher's data. A leaf below ``scanner.advisories.feeds`` exports ``FEED``, found by walking.

    A unit is what is fetched, built and replaced as a whole: an ecosystem (``Debian``, with all its releases), or
    one release of it where the publisher has a file for each (``Alpine:v3.20``).
    """

    name: str
    units: tuple[str, ...] = ()
    """Ecosystems without release that it knows, or names of its own; empty: any."""
    order: int = 0
    """Of several feeds that know a unit, the one with the lowest is used unless a setting names another."""
    per_release: bool = False
    url: str
    """Where the publisher has it."""
    files: Callable[[str], tuple[str, ...]]
    """Return the paths below the URL that make a unit."""
    pointer: str = ""
    """Path of a small text that names the only file, where its name changes with each edition."""
    parse: Callable[[FeedFile], Iterator[FeedItem]]
    """Yield the records of one file. Raises InputError if it is not what it should be; never another error."""
    licence: str
    attribution: str
    """What whoever passes the data on has to say."""
    summary: str
