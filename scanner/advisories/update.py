"""Bring the databases up to date: fetched, built beside the old one, verified, renamed over it.

Whatever goes wrong, at whatever moment, the old database stays as it is and its state says why.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from scanner.advisories.database import About, UnitDatabase, unit_path
from scanner.advisories.database_build import build_database
from scanner.advisories.update_state import (
    Clock,
    UpdateState,
    as_text,
    checked_at,
    is_due,
    load_state,
    now_utc,
    save_state,
    state_path,
)
from scanner.errors import InputError, MalformedFileError, ScannerError, StoreError
from scanner.ports.feed import Feed, FeedFile, FeedItem, FeedSource, FetchedFile, FileMark

_SHRUNK_SHARE: Final = 0.5
_SHRUNK_LEAST: Final = 100
"""Databases smaller than this may shrink as they like."""
_POLL_SECONDS: Final = 0.1


class Outcome(StrEnum):
    """How an update ended that did not fail."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"  # the publisher has nothing newer
    FRESH = "fresh"  # asked recently enough: not asked again
    BUSY = "busy"  # somebody else is at it


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOptions:
    """How updates are done."""

    directory: Path
    max_age: timedelta | None = None
    """Younger databases are left alone; None: none is."""
    wait_seconds: float = 0.0
    """For another updater of the same unit."""
    may_shrink: bool = False
    """Take an edition that has lost more than half of its records."""
    clock: Clock = field(default=now_utc)


@dataclass(frozen=True, slots=True)
class Updated:
    """What became of one unit."""

    unit: str
    outcome: Outcome
    about: About | None


def update_unit(unit: str, feed: Feed, source: FeedSource, options: UpdateOptions) -> Updated:
    """Bring one unit up to date.

    Raises:
        UpstreamError: the publisher does not answer as it should; also its subclasses.
        InputError: what it sends is not what it should be.
        StoreError: the directory cannot be written, or the disk is full.
    """
    before = _moment(options.directory, unit)
    with hold(options.directory, unit, options.wait_seconds) as is_held:
        current = current_database(options.directory, unit)
        if not is_held:
            return Updated(unit, Outcome.BUSY, current)
        moment = _moment(options.directory, unit)
        is_young = options.max_age is not None and not is_due(moment, options.clock(), options.max_age)  # fmt: skip
        if current is not None and (is_young or moment != before):  # else somebody did it meanwhile
            return Updated(unit, Outcome.FRESH, current)
        remove_abandoned(options.directory, unit)
        with remember(unit, options):
            return _update(unit, feed, source, options, current)


def _moment(directory: Path, unit: str) -> str:
    current = current_database(directory, unit)
    return checked_at(current, load_state(directory, unit)) if current else ""


def _update(
    unit: str, feed: Feed, source: FeedSource, options: UpdateOptions, current: About | None
) -> Updated:
    fetched_at = as_text(options.clock())
    marks = _marks(current, feed, source)
    paths = (source.read_pointer(feed.pointer),) if feed.pointer else feed.files(unit)
    files = _fetch(paths, source, _download_path(options.directory, unit), marks)
    if files is None and current is not None:
        save_success(options, unit, current.content, fetched_at)
        return Updated(unit, Outcome.UNCHANGED, current)
    about = About(
        unit=unit,
        feed=feed.name,
        source=source.name,
        licence=feed.licence,
        attribution=feed.attribution,
        fetched_at=fetched_at,
        marks=tuple(f.mark for f in files or ()),
        fetched_bytes=sum(f.path.stat().st_size for f in files or ()),
    )
    try:
        done = replace_database(options, unit, about, _items(unit, feed, files or ()))
    except InputError:
        _remove_downloads(options.directory, unit)  # what is broken is not to be continued
        raise
    save_success(options, unit, done.content, fetched_at)
    _remove_downloads(options.directory, unit)
    return Updated(unit, Outcome.UPDATED, done)


def _marks(current: About | None, feed: Feed, source: FeedSource) -> dict[str, FileMark]:
    """Return the editions of today, if they are of the same feed and place."""
    if current is None or (current.feed, current.source) != (feed.name, source.name):
        return {}
    return {mark.path: mark for mark in current.marks}


def _fetch(
    paths: Sequence[str], source: FeedSource, target: Path, marks: dict[str, FileMark]
) -> list[FetchedFile] | None:
    """Return the files of a unit; None if not one of them is newer than its mark."""
    if set(paths) != set(marks):
        marks = {}
    found: list[FetchedFile | None] = []
    for number, path in enumerate(paths):
        found.append(source.fetch(path, _numbered(target, number), marks.get(path)))
    if all(one is None for one in found):
        return None
    for number, path in enumerate(paths):
        if found[number] is None:  # the same as ever, but it belongs to the whole
            found[number] = source.fetch(path, _numbered(target, number), None)
    whole = [one for one in found if one is not None]
    if len(whole) != len(paths):
        raise MalformedFileError(source.name, "a file was not given when it was asked for")
    return whole


def _items(unit: str, feed: Feed, files: Sequence[FetchedFile]) -> Iterator[FeedItem]:
    for one in files:
        with one.path.open("rb") as stream:
            yield from feed.parse(FeedFile(name=one.mark.path, stream=stream, unit=unit))


def replace_database(
    options: UpdateOptions, unit: str, about: About, items: Iterator[FeedItem]
) -> About:
    """Build a unit's database and put it in the place of the old one.

    The unit must be held. Raises like :func:`build_database`, and MalformedFileError if too little is left.
    """
    path = unit_path(options.directory, unit)
    building = path.with_name(f"{path.name}.{os.getpid()}.building")
    try:
        done = build_database(building, items, about)
        check_shrinking(current_database(options.directory, unit), done, options)
        put_in_place(building, path)
    finally:
        with suppress(OSError):
            building.unlink()
    return done


def check_shrinking(current: About | None, new: About, options: UpdateOptions) -> None:
    """Raise MalformedFileError for an edition that has lost most of its records, unless that is allowed."""
    before = current.records_count if current is not None else 0
    if options.may_shrink or before < _SHRUNK_LEAST:
        return
    if new.records_count < before * _SHRUNK_SHARE:
        error = MalformedFileError(new.unit, f"only {new.records_count} of {before} records are left")  # fmt: skip
        error.hint = "if that is right: scanner db update --allow-shrinking"
        raise error


def put_in_place(building: Path, path: Path) -> None:
    """Rename a finished file over the old one, so that it lasts; readers keep what they have open."""
    try:
        building.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StoreError(str(path), error.strerror or "cannot be replaced") from error


def current_database(directory: Path, unit: str) -> About | None:
    """Return what the database of a unit says of itself; None if there is none that can be used."""
    try:
        with UnitDatabase(unit_path(directory, unit)) as database:
            return database.about
    except StoreError:
        return None


@contextmanager
def hold(directory: Path, unit: str, wait_seconds: float) -> Iterator[bool]:
    """Yield True while nobody else updates a unit; False if somebody did for all of ``wait_seconds``.

    The kernel lets go when the process ends, however it ends.

    Raises:
        StoreError: the directory cannot be made or written.
    """
    path = state_path(directory, unit).with_suffix(".lock")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(str(directory), error.strerror or "cannot be written") from error
    deadline = time.monotonic() + wait_seconds
    try:
        while not _try(file):
            if time.monotonic() >= deadline:
                yield False
                return
            time.sleep(_POLL_SECONDS)
        yield True
    finally:
        os.close(file)


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def remember(unit: str, options: UpdateOptions) -> Iterator[None]:
    """Remember that an update runs, and why it failed."""
    before = load_state(options.directory, unit)
    began_at = as_text(options.clock())
    save_state(
        options.directory,
        unit,
        msgspec.structs.replace(before, began_at=began_at, process=os.getpid()),
    )
    try:
        yield
    except BaseException as error:
        told = str(error) if isinstance(error, ScannerError) else type(error).__name__
        failed_at = as_text(options.clock())
        kept = msgspec.structs.replace(before, began_at="", process=0, failed_at=failed_at, error=told[:500])  # fmt: skip
        save_state(options.directory, unit, kept)
        if isinstance(error, OSError):
            is_full = error.errno == errno.ENOSPC
            reason = "the disk is full" if is_full else error.strerror or "cannot be written"
            raise StoreError(str(options.directory), reason) from error
        raise


def save_success(options: UpdateOptions, unit: str, content: str, moment: str) -> None:
    """Remember that a publisher said at a moment that this content is its newest."""
    save_state(options.directory, unit, UpdateState(content=content, checked_at=moment))


def _download_path(directory: Path, unit: str) -> Path:
    return state_path(directory, unit).with_suffix(".download")


def _numbered(target: Path, number: int) -> Path:
    return target.with_name(f"{target.name}{number}")


def _remove_downloads(directory: Path, unit: str) -> None:
    target = _download_path(directory, unit)
    for path in directory.glob(f"{_escaped(target.name)}*"):
        with suppress(OSError):
            path.unlink()


def remove_abandoned(directory: Path, unit: str) -> None:
    """Remove what killed updates of a unit left half-built; it must be held."""
    name = _escaped(unit_path(directory, unit).name)
    for pattern in (f"{name}.*.building*", f"{_escaped(state_path(directory, unit).name)}.*.tmp"):
        for path in directory.glob(pattern):
            with suppress(OSError):
                path.unlink()


def _escaped(name: str) -> str:
    """Return a name for a glob; quoted units hold no special character but these."""
    return name.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")
