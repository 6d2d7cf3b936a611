"""The composition root of advisories: from settings to feeds, where they come from, and the databases."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scanner import app, discovery
from scanner.config import Settings
from scanner.errors import ScannerError, SettingsError, StoreError
from scanner.model import AdvisoryState, ScanReport

if TYPE_CHECKING:
    from scanner.advisories.database import AdvisoryDatabases
    from scanner.advisories.update import Updated, UpdateOptions
    from scanner.advisories.update_state import UnitStatus
    from scanner.pipeline.match import Matching
    from scanner.ports.feed import Feed, FeedSource

_ENRICHMENTS: Final = ("kev", "epss")
"""Always wanted: small, and about every ecosystem."""
_WAIT_SECONDS: Final = 600.0
_HINTED_COUNT: Final = 10


@dataclass(frozen=True, slots=True)
class Failed:
    """A unit whose update failed; its old database stays."""

    unit: str
    error: ScannerError
    has_old: bool


def directory(settings: Settings) -> Path:
    """Return where the databases are."""
    return app.advisories_directory(settings)


def max_age(settings: Settings) -> timedelta:
    """Return how old data may be."""
    return timedelta(hours=settings.advisories.max_age_hours)


def feed_of(settings: Settings, ecosystem: str, chosen: str = "") -> Feed:
    """Return the feed that an ecosystem is taken from; ``chosen`` wins over settings.

    Raises:
        SettingsError: there is no such feed, or it does not know the ecosystem.
    """
    feeds = discovery.feeds()
    family = ecosystem.partition(":")[0]
    name = chosen or _pairs(settings.advisories.feeds, "advisories.feeds").get(family, "")
    if name and name not in feeds:
        raise SettingsError("advisories.feeds", f"{name!r} is none of {', '.join(sorted(feeds))}")
    able = [f for f in feeds.values() if not f.units or family in f.units]
    if name:
        able = [f for f in able if f.name == name]
    if not able:
        raise SettingsError("advisories.feeds", f"{name} knows no {family}")
    return min(able, key=lambda f: (f.order, f.name))


def unit_of(settings: Settings, ecosystem: str, chosen: str = "") -> str:
    """Return what is fetched and replaced as a whole for an ecosystem; raises SettingsError."""
    is_apart = feed_of(settings, ecosystem, chosen).per_release
    return ecosystem if is_apart else ecosystem.partition(":")[0]


def units_of(settings: Settings, ecosystems: Sequence[str], chosen: str = "") -> list[str]:
    """Return the units to update: of these ecosystems; without any, all that there is data of or that scans met.

    Raises:
        SettingsError: nothing is known yet, or an ecosystem of which a release must be named.
    """
    from scanner.advisories.update_state import known_units  # noqa: PLC0415 - costs too much for --help

    known = known_units(directory(settings))
    found: list[str] = []
    for ecosystem in ecosystems:
        unit = unit_of(settings, ecosystem, chosen)
        found += _releases(unit, known) if _lacks_release(settings, unit, chosen) else [unit]
    if not ecosystems:
        found = [*known, *_ENRICHMENTS]
        if not set(known) - {*_ENRICHMENTS}:
            error = SettingsError("db update", "no ecosystem is known yet")
            error.hint = "name some (scanner db update Debian npm PyPI), or scan an image first"
            raise error
    return list(dict.fromkeys(found))


def _lacks_release(settings: Settings, unit: str, chosen: str) -> bool:
    return feed_of(settings, unit, chosen).per_release and ":" not in unit


def _releases(family: str, known: Iterable[str]) -> list[str]:
    found = [unit for unit in known if unit.startswith(f"{family}:")]
    if not found:
        raise SettingsError("ECOSYSTEM", f"{family} has data for each release: name it, {family}:v3.20")  # fmt: skip
    return found


def _pairs(texts: Sequence[str], where: str) -> dict[str, str]:
    """Return ``NAME=VALUE`` texts as a mapping; raises SettingsError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise SettingsError(where, f"{text[:100]!r}: expected NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


def open_source(settings: Settings, feed: Feed, origin: str = "") -> FeedSource:
    """Return where a feed's files come from: ``origin`` (URL, directory or file), a setting, or the publisher.

    Raises:
        SettingsError: an address that is none.
        UpstreamError: the settings say offline, and it is not on this machine.
    """
    from scanner.advisories.local_source import DirectoryFeedSource, SingleFileSource  # noqa: PLC0415 - as above
    from scanner.sources._feed_http import FetchBounds, HttpFeedSource  # noqa: PLC0415

    urls = _pairs(settings.advisories.urls, "advisories.urls")
    for name in urls:
        if name not in discovery.feeds():
            raise SettingsError("advisories.urls", f"there is no feed {name!r}")
    address = origin or urls.get(feed.name, feed.url)
    if "://" not in address:
        path = Path(address).expanduser()
        return DirectoryFeedSource(path, feed.name) if path.is_dir() else SingleFileSource(path)
    return HttpFeedSource(
        address,
        app.source_options(settings, Path()),
        FetchBounds(
            file_bytes=settings.advisories.file_bytes, seconds=settings.advisories.fetch_seconds
        ),
        allowed_hosts=frozenset(settings.advisories.hosts),
    )


def update_options(
    settings: Settings, *, wait_seconds: float, may_shrink: bool = False, is_lazy: bool = False
) -> UpdateOptions:
    """Return how updates are done; ``is_lazy`` leaves alone what is young enough."""
    from scanner.advisories.update import UpdateOptions  # noqa: PLC0415 - as above

    return UpdateOptions(
        directory=directory(settings),
        max_age=max_age(settings) if is_lazy else None,
        wait_seconds=wait_seconds,
        may_shrink=may_shrink,
    )


def update(
    settings: Settings,
    units: Sequence[str],
    options: UpdateOptions,
    *,
    origin: str = "",
    chosen_feed: str = "",
) -> Iterator[Updated | Failed]:
    """Bring units up to date, one after another; yield what became of each.

    Raises:
        SettingsError: a setting is wrong; nothing was done.
    """
    from scanner.advisories.update import update_unit  # noqa: PLC0415 - as above

    feeds = {unit: feed_of(settings, unit, chosen_feed) for unit in units}
    if origin and len(units) != 1 and Path(origin).is_file():
        raise SettingsError("--from", "a file is of one ecosystem: name it, and no other")
    for unit, feed in feeds.items():
        try:
            with closing(open_source(settings, feed, origin)) as source:
                yield update_unit(unit, feed, source, options)
        except SettingsError:
            raise
        except ScannerError as error:
            yield _failed(unit, error, options)


def _failed(unit: str, error: ScannerError, options: UpdateOptions) -> Failed:
    from scanner.advisories.update import current_database  # noqa: PLC0415 - as above

    return Failed(unit, error, current_database(options.directory, unit) is not None)


def is_export(origin: str) -> bool:
    """Say whether a path holds finished databases, as ``scanner db export`` writes them."""
    from scanner.advisories import exchange  # noqa: PLC0415 - as above

    return "://" not in origin and exchange.is_export(Path(origin).expanduser())


def import_databases(
    settings: Settings,
    origin: Path,
    ecosystems: Sequence[str] = (),
    *,
    may_shrink: bool = False,
    source: str = "",
) -> Iterator[Updated | Failed]:
    """Take in finished databases; yield what became of each. Raises StoreError if there are none."""
    from scanner.advisories import exchange  # noqa: PLC0415 - as above
    from scanner.advisories.database import unit_of as unit_in  # noqa: PLC0415

    options = update_options(settings, wait_seconds=_WAIT_SECONDS, may_shrink=may_shrink)
    for file in exchange.exported_files(origin.expanduser(), _units(settings, ecosystems)):
        try:
            yield exchange.import_database(file, options, source or str(origin))
        except ScannerError as error:
            yield _failed(unit_in(file), error, options)


def export_databases(
    settings: Settings, target: Path, ecosystems: Sequence[str] = ()
) -> Iterator[Path]:
    """Copy databases to a directory; yield where each is. Raises StoreError."""
    from scanner.advisories import exchange  # noqa: PLC0415 - as above

    for file in exchange.exported_files(directory(settings), _units(settings, ecosystems)):
        yield exchange.export_database(file, target)


def _units(settings: Settings, ecosystems: Sequence[str]) -> list[str]:
    return [unit_of(settings, ecosystem) for ecosystem in ecosystems]


def statuses(settings: Settings) -> list[UnitStatus]:
    """Return how every unit is that there is anything of; raises StoreError."""
    from scanner.advisories.update_state import known_units, now_utc, status_of  # noqa: PLC0415 - as above

    where, now = directory(settings), now_utc()
    return [status_of(where, unit, now, max_age(settings)) for unit in known_units(where)]


def open_databases(settings: Settings) -> AdvisoryDatabases:
    """Open the databases as they are now; raises StoreError."""
    from scanner.advisories.database import AdvisoryDatabases  # noqa: PLC0415 - as above

    return AdvisoryDatabases(directory(settings))


def matching(settings: Settings) -> Matching:
    """Return how scans come by the databases of these settings; what they miss is remembered for the next update."""
    from scanner.advisories.names import ECOSYSTEMS  # noqa: PLC0415 - as above
    from scanner.advisories.update_state import mark_wanted  # noqa: PLC0415
    from scanner.pipeline.match import Advisories, Matching  # noqa: PLC0415

    @contextmanager
    def opened() -> Iterator[Advisories]:
        with open_databases(settings) as databases:
            if databases.broken:
                unit, reason = next(iter(databases.broken.items()))
                error = StoreError(f"advisories of {unit}", reason)
                error.hint = f"build them anew: scanner db update {unit}"
                raise error
            yield Advisories(databases, _state(settings, databases))

    def tell_missing(ecosystems: Iterable[str]) -> None:
        for ecosystem in ecosystems:
            # Else a type of packages, or a distribution, that nobody publishes advisories of.
            if ecosystem[:1].isupper() or ecosystem in ECOSYSTEMS.values():
                mark_wanted(directory(settings), unit_of(settings, ecosystem))

    return Matching(opened, tell_missing)


def _state(settings: Settings, databases: AdvisoryDatabases) -> AdvisoryState:
    from scanner.advisories.update_state import (  # noqa: PLC0415 - as above
        checked_at,
        is_due,
        load_state,
        now_utc,
    )

    where, now = directory(settings), now_utc()
    moments = {u: checked_at(one.about, load_state(where, u)) for u, one in databases.units.items()}
    due = tuple(unit for unit, at in moments.items() if is_due(at, now, max_age(settings)))
    return AdvisoryState(stamp=databases.stamp(), checked_at=moments, out_of_date=due)


def hint(settings: Settings, report: ScanReport) -> str:
    """Return what to do so that vulnerabilities are looked for, or looked for in newer data; empty if all is well."""
    from scanner.advisories.update_state import wanted_units  # noqa: PLC0415 - as above

    have = {u for i in report.images if i.advisories for u in i.advisories.checked_at}
    wanted = [unit for unit in wanted_units(directory(settings)) if unit not in have]
    if any(image.packages and not image.advisories for image in report.images) and wanted:
        return f"vulnerabilities were not looked for, as there is no advisory data: scanner db update {_words(wanted)}"
    if any(issue.code == "no-advisory-data" for i in report.images for issue in i.coverage.issues):
        return f"advisory data is missing: scanner db update {_words(wanted)}" if wanted else ""
    due = sorted({u for i in report.images if i.advisories for u in i.advisories.out_of_date})
    return f"advisory data is out of date ({', '.join(due)}): scanner db update" if due else ""


def _words(units: Sequence[str]) -> str:
    return " ".join(shlex.quote(unit) for unit in units[:_HINTED_COUNT])
