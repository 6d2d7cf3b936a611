"""Complete packages once the distribution is known: purl namespaces, and who owns whose file.

Source: https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from scanner.model import Distribution, OwnedFiles, Package

_MERGED: Final = ("bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/", "libo32/")
"""Directories that are links into ``usr`` where usr is merged; databases spell them either way."""
_USR: Final = "usr/"
_VENDORS: Final = {
    "rhel": "redhat",
    "sles": "suse",
    "sled": "suse",
    "opensuse-leap": "opensuse",
    "opensuse-tumbleweed": "opensuse",
}
"""purl namespaces that are not the distribution's id."""
_INSIDE: Final = "!/"


def finish(
    packages: Iterable[Package], owned: Iterable[OwnedFiles], distribution: Distribution | None
) -> tuple[Package, ...]:
    """Return ``packages`` with the distribution in the purls of its own, and owners for the others."""
    named = [_of_distribution(p, distribution) for p in packages]
    owners = owners_of((p.path for p in named if not p.from_distribution), owned, named)
    return tuple(_with_owner(p, owners) for p in named)


def owners_of(
    paths: Iterable[str], owned: Iterable[OwnedFiles], packages: Iterable[Package]
) -> dict[str, str]:
    """Return the purl of the distribution's package that owns each of ``paths``, where one does."""
    purls: dict[str, str] = {}
    for package in packages:
        if package.from_distribution:
            purls.setdefault(package.name, package.purl)
    spelled = {path: _spellings(path) for path in set(paths)}
    found = _by_spelling({s for every in spelled.values() for s in every}, owned, purls)
    return {
        path: owner
        for path, every in spelled.items()
        if (owner := next((o for s in every if (o := found.get(s))), ""))
    }


def _of_distribution(package: Package, distribution: Distribution | None) -> Package:
    if not package.from_distribution or distribution is None:
        return package
    release = "-".join(
        p for p in (distribution.id, distribution.version or distribution.codename) if p
    )
    return msgspec.structs.replace(
        package,
        namespace=package.namespace or _VENDORS.get(distribution.id, distribution.id),
        qualifiers={**package.qualifiers, "distro": release},
    )


def _spellings(path: str) -> list[str]:
    """Return how a database may name the file at ``path`` (of an entry in an archive: the archive)."""
    spelled = [path, path.partition(_INSIDE)[0]] if _INSIDE in path else [path]
    for one in tuple(spelled):
        if one.startswith(_MERGED):
            spelled.append(_USR + one)
        elif one.startswith(_USR) and one.startswith(_MERGED, len(_USR)):
            spelled.append(one[len(_USR) :])
    return spelled


def _by_spelling(
    wanted: set[str], owned: Iterable[OwnedFiles], purls: Mapping[str, str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in owned:
        purl = purls.get(one.package)
        if purl and wanted:
            for path in wanted.intersection(one.paths.split("\n")):
                found.setdefault(path, purl)
    return found


def _with_owner(package: Package, owners: Mapping[str, str]) -> Package:
    owner = "" if package.from_distribution else owners.get(package.path, "")
    return msgspec.structs.replace(package, owner=owner) if owner else package
