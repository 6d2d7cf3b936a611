"""What is remembered of updates beside the databases: when the publisher was last asked, and what went wrong.

The files are small and written whole or not at all; one that is lost or broken only makes an update due.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from scanner.advisories.database import (
    About,
    UnitDatabase,
    database_files,
    unit_of,
    unit_path,
)
from scanner.decoding import decode_json
from scanner.errors import StoreError
from scanner.processes import is_running

Clock = Callable[[], datetime]
_STATE_SUFFIX: Final = ".state"
_WANTED_SUFFIX: Final = ".wanted"
_STATE_BYTES: Final = 1024 * 1024
_SKEW: Final = timedelta(minutes=10)
"""How far clocks may differ."""
_WANTED_COUNT: Final = 500


class UpdateState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the last update of a unit. Moments are RFC 3339, UTC."""

    content: str = ""
    """Of the database that ``checked_at`` is about."""
    checked_at: str = ""
    """When the publisher last said that this is its newest edition."""
    began_at: str = ""
    """When an update began that has not ended; it may still run, or was killed."""
    process: int = 0
    failed_at: str = ""
    error: str = ""


class UnitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What ``scanner db status`` tells of a unit."""

    unit: str
    about: About | None
    """None without a usable database."""
    size_bytes: int
    checked_at: str
    """When its publisher was last asked with success; empty: never."""
    age_seconds: float | None
    """Since then; None without a database, negative if the clock was set back."""
    is_due: bool
    is_wanted: bool
    """A scan met it while there was no database."""
    problem: str
    """Why it is not as it should be; empty if it is."""


def now_utc() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def as_text(moment: datetime) -> str:
    """Return a moment as RFC 3339, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def state_path(directory: Path, unit: str) -> Path:
    """Return where the state of a unit is."""
    return directory / f"{quote(unit, safe='')}{_STATE_SUFFIX}"


def load_state(directory: Path, unit: str) -> UpdateState:
    """Return what is remembered; nothing if that cannot be read."""
    try:
        with state_path(directory, unit).open("rb") as file:
            return decode_json(file.read(_STATE_BYTES), UpdateState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpdateState()


def save_state(directory: Path, unit: str, state: UpdateState) -> None:
    """Remember; where that is impossible (a full disk) the caller tells what went wrong anyway."""
    path = state_path(directory, unit)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        try:
            temporary.write_bytes(msgspec.json.encode(state))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def mark_wanted(directory: Path, unit: str) -> None:
    """Remember that a scan met what there is no database for; where that is impossible nothing is lost but time."""
    path = directory / f"{quote(unit, safe='')}{_WANTED_SUFFIX}"
    with suppress(OSError):
        if not path.exists() and len(wanted_units(directory)) < _WANTED_COUNT:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch()


def wanted_units(directory: Path) -> list[str]:
    """Return the units that scans met, in order."""
    with suppress(OSError):
        return sorted(
            unquote(p.name.removesuffix(_WANTED_SUFFIX))
            for p in directory.glob(f"*{_WANTED_SUFFIX}")
        )
    return []


def known_units(directory: Path) -> list[str]:
    """Return every unit that there is anything of, in order; raises StoreError."""
    states = {
        unquote(p.name.removesuffix(_STATE_SUFFIX)) for p in directory.glob(f"*{_STATE_SUFFIX}")
    }
    return sorted({unit_of(p) for p in database_files(directory)} | states | {*wanted_units(directory)})  # fmt: skip


def checked_at(about: About, state: UpdateState) -> str:
    """Return when the publisher last said that a database is its newest edition."""
    return max(about.fetched_at, state.checked_at if state.content == about.content else "")


def age_of(moment: str, now: datetime) -> timedelta | None:
    """Return how long ago a moment was; negative for one in the future, None for what is no moment."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return now - (then if then.tzinfo else then.replace(tzinfo=UTC))


def is_due(moment: str, now: datetime, max_age: timedelta) -> bool:
    """Say whether the publisher is to be asked again: too old, or of a time that has not come yet."""
    age = age_of(moment, now)
    return age is None or age > max_age or age < -_SKEW


def status_of(directory: Path, unit: str, now: datetime, max_age: timedelta) -> UnitStatus:
    """Return how a unit is; never raises for what is broken, but says so."""
    path = unit_path(directory, unit)
    state = load_state(directory, unit)
    about, reason = _about(path)
    moment = checked_at(about, state) if about else ""
    age = age_of(moment, now) if about else None
    due = about is None or is_due(moment, now, max_age)
    return UnitStatus(
        unit=unit,
        about=about,
        size_bytes=path.stat().st_size if about else 0,
        checked_at=moment,
        age_seconds=age.total_seconds() if age is not None else None,
        is_due=due,
        is_wanted=unit in wanted_units(directory),
        problem="; ".join(filter(None, (reason, _problem(state), _age_problem(age)))),
    )


def _about(path: Path) -> tuple[About | None, str]:
    if not path.exists():
        return None, "no data"
    try:
        with UnitDatabase(path) as database:
            return database.about, ""
    except StoreError as error:
        return None, error.reason


def _problem(state: UpdateState) -> str:
    if state.began_at and not is_running(state.process):
        return f"the update that began at {state.began_at} was interrupted"
    if state.began_at:
        return f"an update is running since {state.began_at}"
    return f"the update at {state.failed_at} failed: {state.error}" if state.error else ""


def _age_problem(age: timedelta | None) -> str:
    if age is not None and age < -_SKEW:
        return "it was fetched at a time that has not come yet: the clock was set back"
    return ""
