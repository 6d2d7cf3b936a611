"""``scanner db update`` and its kin: known vulnerabilities, brought here and kept fresh."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import config_option
from scanner.config import load_settings

if TYPE_CHECKING:
    from scanner.advisories.database import About
    from scanner.advisories.update import Updated
    from scanner.advisories.update_state import UnitStatus
    from scanner.app_advisories import Failed

_DAY_SECONDS = 86_400
_HOUR_SECONDS = 3_600


@click.command("update", short_help="Bring known vulnerabilities up to date.")
@click.argument("ecosystems", metavar="[ECOSYSTEM]...", nargs=-1)
@click.option(
    "--from",
    "origin",
    metavar="DIR|FILE|URL|oci://REF",
    default="",
    help="Take them from there, not from their publishers.",
)
@click.option(
    "--feed", metavar="NAME", default="", help="Take them from this feed (advisories.feeds)."
)
@click.option(
    "--if-older", is_flag=True, help="Leave alone what is younger than advisories.max_age_hours."
)
@click.option(
    "--wait",
    "wait_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="How long to wait for another update of the same.",
)
@click.option(
    "--allow-shrinking", is_flag=True, help="Take data that has lost more than half of its records."
)
@config_option
def update(
    ecosystems: tuple[str, ...],
    origin: str,
    feed: str,
    wait_seconds: float,
    config: Path | None,
    *,
    if_older: bool,
    allow_shrinking: bool,
) -> None:
    """Fetch what is newer, build the databases of ECOSYSTEMs beside the old ones, and put them in their place.

    An ECOSYSTEM is named as OSV names it: Debian, Alpine:v3.20, "Rocky Linux", PyPI, npm, Go; kev and epss say what is
    exploited. Without one: all there is data of, all that scans met without data, kev and epss. What fails keeps its
    old data.

    Exit codes: 0 up to date, 2 usage, 4 an update failed.
    """
    from scanner import app_advisories  # noqa: PLC0415 - `scanner --help` imports every command

    settings = load_settings(config, {})
    if origin.startswith("oci://"):
        from scanner import app_exchange  # noqa: PLC0415

        where = app_exchange.parse_artifact(origin)
        results = app_exchange.pull(settings, where, ecosystems, may_shrink=allow_shrinking)
    elif origin and app_advisories.is_export(origin):
        results = app_advisories.import_databases(settings, Path(origin), ecosystems, may_shrink=allow_shrinking)  # fmt: skip
    else:
        units = app_advisories.units_of(settings, ecosystems, feed)
        options = app_advisories.update_options(
            settings, wait_seconds=wait_seconds, may_shrink=allow_shrinking, is_lazy=if_older
        )
        results = app_advisories.update(settings, units, options, origin=origin, chosen_feed=feed)
    leave(results)


def leave(results: Iterable[Updated | Failed]) -> None:
    """Say what became of each unit; end with 4 if one failed."""
    failed = [one for one in results if not _tell(one)]
    if failed:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _tell(one: Updated | Failed) -> bool:
    """Say what became of a unit; return whether it went well."""
    from scanner.app_advisories import Failed  # noqa: PLC0415 - as above

    if isinstance(one, Failed):
        click.echo(f"{one.unit}: {one.error}", err=True)
        if one.error.hint:
            click.echo(f"  {one.error.hint}", err=True)
        click.echo("  the old data stays" if one.has_old else "  there is still no data", err=True)
        return False
    about = one.about
    text = f"{one.unit}: {one.outcome}"
    if about is not None:
        text += f", {_counts(about)}"
    if about is not None and one.outcome == "updated":
        text += f", built in {about.build_seconds:.1f} s"
    click.echo(text)
    if about is not None and about.refused_count:
        click.echo(f"  {about.refused_count} could not be read, the first: {about.refused}", err=True)  # fmt: skip
    return True


@click.command("status", short_help="Show age, size and source of known vulnerabilities.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)
@config_option
def status(form: str, config: Path | None) -> None:
    """Tell of each ecosystem how old its data is, how much there is of it, where it comes from, and what is wrong."""
    from scanner import app_advisories  # noqa: PLC0415 - as above

    settings = load_settings(config, {})
    found = app_advisories.statuses(settings)
    if form == "json":
        import msgspec  # noqa: PLC0415 - as above

        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
        return
    if not found:
        click.echo(f"no advisory data in {app_advisories.directory(settings)}")
        click.echo("  get some: scanner db update Debian npm PyPI")
    for one in found:
        _show(one)


def _show(one: UnitStatus) -> None:
    about = one.about
    if about is None:
        click.echo(f"{one.unit}: no usable data{', met by a scan' if one.is_wanted else ''}")
    else:
        old = _span(one.age_seconds or 0.0)
        click.echo(f"{one.unit}: checked {old} ago{', out of date' if one.is_due else ''}")
        click.echo(
            f"  {_counts(about)}, {one.size_bytes / 1e6:.1f} MB, built in {about.build_seconds:.1f} s"
        )
        click.echo(f"  {about.feed} from {about.source}")
        click.echo(f"  licence: {about.licence}; {about.attribution}")
        if about.refused_count:
            click.echo(f"  {about.refused_count} could not be read, the first: {about.refused}")
    if one.problem:
        click.echo(f"  {one.problem}")


def _counts(about: About) -> str:
    of_packages = f" of {about.packages_count:,} packages" if about.packages_count else ""
    return f"{about.records_count:,} records{of_packages}"


def _span(seconds: float) -> str:
    if seconds >= 2 * _DAY_SECONDS:
        return f"{seconds / _DAY_SECONDS:.0f} days"
    return f"{seconds / _HOUR_SECONDS:.0f} h" if seconds >= _HOUR_SECONDS else f"{max(0.0, seconds) / 60:.0f} min"  # fmt: skip


@click.command("export", short_help="Copy known vulnerabilities to a directory.")
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.argument("ecosystems", metavar="[ECOSYSTEM]...", nargs=-1)
@config_option
def export(target: Path, ecosystems: tuple[str, ...], config: Path | None) -> None:
    """Copy the databases, or those of ECOSYSTEMs, to DIR: ``scanner db update --from DIR`` takes them elsewhere."""
    from scanner import app_advisories  # noqa: PLC0415 - as above

    for path in app_advisories.export_databases(load_settings(config, {}), target, ecosystems):
        click.echo(str(path))


COMMANDS = (update, status, export)
