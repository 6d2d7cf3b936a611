"""Builds of rpm modules: a fix in the stream ``nodejs:18`` says nothing of packages of ``nodejs:20``.

Minor releases are streams as well: ``2.5.0-3.el9_5.3`` has what 9.5 fixed, though 9.6 did it in ``2.5.0-5.el9_6``.

Source: https://docs.fedoraproject.org/en-US/modularity/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from scanner.model import Package
from scanner.model.advisory import Affected, EventKind

_MARK: Final = ".module"
_LABEL: Final = "rpmmod"
_MINOR: Final = re.compile(r"\.el[0-9]{1,2}_[0-9]{1,2}(?![0-9])")


def stream_of(package: Package) -> str | None:
    """Return ``name:stream`` of the module that built a package, empty if that is not known; None for no module."""
    label = package.qualifiers.get(_LABEL, "")
    if label:
        return ":".join(label.split(":")[:2])
    return "" if _MARK in package.version else None


def of_stream(affected: Iterable[Affected], stream: str | None) -> list[Affected]:
    """Return what is about packages of a stream: builds of modules for packages of modules, others for others.

    A build whose stream nobody names is compared with packages of any stream of its name.
    """
    found = [one for one in affected if _is_about(one, stream)]
    return _first_builds(found) if stream is not None and len(found) > 1 else found


def _is_about(affected: Affected, stream: str | None) -> bool:
    fixes = _fixes(affected)
    is_modular = bool(affected.streams) or any(_MARK in version for version in fixes)
    if stream is None or not is_modular:
        # What has no fix yet names no build, and may be about both.
        return is_modular == (stream is not None) or (not fixes and not affected.streams)
    return not stream or not affected.streams or stream in affected.streams


def _first_builds(affected: list[Affected]) -> list[Affected]:
    """Keep one of the builds of the same sources: an erratum lists them for each of its architectures."""
    kept: list[Affected] = []
    first: dict[str, Affected] = {}
    for one in affected:
        version = min(_fixes(one), default="")
        sources, mark, _ = version.partition(_MARK)
        if not mark:
            kept.append(one)
        elif sources not in first or _build(version) < _build(min(_fixes(first[sources]))):
            first[sources] = one
    return [*kept, *first.values()]


def _build(version: str) -> tuple[int, str]:
    """Return what orders ``1.0-1.module_el8.6.0+2741+01592ae8`` among builds of the same sources."""
    build = version.partition("+")[2].partition("+")[0]
    return (int(build) if build.isdecimal() else 0), version


def _fixes(affected: Affected) -> list[str]:
    return [e.version for r in affected.ranges for e in r.events if e.kind is EventKind.FIXED]


def minor_of(version: str) -> str:
    """Return the mark of the minor release that a build is for, ``.el9_5``; empty if it has none."""
    match = _MINOR.search(version)
    return match[0] if match else ""


def has_fix_in(affected: Iterable[Affected], minor: str) -> bool:
    """Return whether one of the fixes is for this minor release."""
    return any(minor_of(version) == minor for one in affected for version in _fixes(one))
