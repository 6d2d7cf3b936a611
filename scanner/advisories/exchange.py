"""Finished databases from one machine to another: copied out, and taken in only after every row was checked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from scanner.advisories.database import SUFFIX, UnitDatabase, database_files, unit_of, unit_path
from scanner.advisories.update import (
    Outcome,
    Updated,
    UpdateOptions,
    check_shrinking,
    current_database,
    hold,
    put_in_place,
    remember,
    remove_abandoned,
    save_success,
)
from scanner.errors import MalformedFileError, StoreError


def is_export(directory: Path) -> bool:
    """Say whether a directory holds finished databases, or a path is one."""
    return directory.name.endswith(SUFFIX) or bool(database_files(directory))


def exported_files(place: Path, units: Sequence[str] = ()) -> list[Path]:
    """Return the finished databases of a directory, or the one that a path names.

    Raises:
        StoreError: one of ``units`` is not among them, or there is none at all.
    """
    files = [place] if place.is_file() else database_files(place)
    found = {unit_of(path): path for path in files}
    missing = [unit for unit in units if unit not in found]
    if missing or not found:
        raise StoreError(str(place), f"no data of {', '.join(missing) or 'any ecosystem'}")
    return [found[unit] for unit in (units or found)]


def export_database(path: Path, target: Path) -> Path:
    """Copy a database to a directory, whole or not at all; return where it is.

    Raises:
        StoreError: it is broken, or cannot be written.
    """
    with UnitDatabase(path) as database:
        database.verify(64)
    copy = target / path.name
    try:
        target.mkdir(parents=True, exist_ok=True)
        _copy(path, copy)
    except OSError as error:
        raise StoreError(str(copy), error.strerror or "cannot be written") from error
    return copy


def _copy(path: Path, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.{os.getpid()}.building")
    try:
        shutil.copyfile(path, temporary)
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


def import_database(file: Path, options: UpdateOptions, source: str) -> Updated:
    """Take in a finished database, unless there is a newer one; ``source`` is where it comes from.

    Raises:
        MalformedFileError: it is of another unit than its name says, or has lost most of its records.
        StoreError: it is broken, or cannot be written.
    """
    unit = unit_of(file)
    path = unit_path(options.directory, unit)
    with hold(options.directory, unit, options.wait_seconds) as is_held:
        current = current_database(options.directory, unit)
        if not is_held:
            return Updated(unit, Outcome.BUSY, current)
        with UnitDatabase(file) as database:
            is_newer = current is None or database.about.fetched_at > current.fetched_at
        if not is_newer:
            return Updated(unit, Outcome.FRESH, current)
        remove_abandoned(options.directory, unit)
        with remember(unit, options):
            building = path.with_name(f"{path.name}.{os.getpid()}.building")
            try:
                shutil.copyfile(file, building)
                with UnitDatabase(building) as database:  # the copy: nobody can change it any more
                    about = database.about
                    if about.unit != unit:
                        raise MalformedFileError(str(file), f"it is of {about.unit[:100]}")
                    database.verify()
                check_shrinking(current, about, options)
                put_in_place(building, path)
            finally:
                with suppress(OSError):
                    building.unlink()
        save_success(options, unit, about.content, about.fetched_at)
        return Updated(unit, Outcome.UPDATED, msgspec.structs.replace(about, source=source))
