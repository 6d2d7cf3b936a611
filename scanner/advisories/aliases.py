"""Which records speak of the same vulnerability, by the ids that they give it.

Source: https://ossf.github.io/osv-schema/#aliases-field
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from scanner.model.advisory import Advisory

_CVE: Final = re.compile(r"CVE-(\d{4})-(\d{4,12})\Z")
_GHSA: Final = "GHSA-"


class Vulnerability(NamedTuple):
    """One vulnerability under all of its names."""

    ids: tuple[str, ...]
    """The main id first: a CVE, else a GHSA, else the first of the others."""
    members: tuple[int, ...]
    """Places of the records that speak of it."""


class Naming(NamedTuple):
    """What a record calls the vulnerabilities that it is about."""

    subjects: tuple[str, ...]
    """An id of each."""
    same: tuple[str, ...]
    """All names of the only one; empty where the record is about several."""

    def without(self, names: AbstractSet[str]) -> Naming:
        """Return it without the vulnerabilities of these names; without subjects if none is left."""
        if names.isdisjoint(self.same):
            return Naming(tuple(one for one in self.subjects if one not in names), self.same)
        return Naming((), ())


def naming_of(advisory: Advisory, *, of_distribution: bool) -> Naming:
    """Return what a record is about.

    Aliases are other names. An erratum lists what it fixes under ``upstream``, older ones under ``related``;
    one that fixes several is a name of none of them.
    """
    names = (advisory.id, *advisory.aliases)
    if any(_CVE.match(name) for name in names):
        return Naming((advisory.id,), names)
    listed = tuple(name for name in advisory.upstream if _is_main(name)) or (
        tuple(name for name in advisory.related if _CVE.match(name)) if of_distribution else ()
    )
    if len(listed) > 1:
        return Naming(listed, ())
    return Naming((advisory.id,), (*names, *advisory.upstream, *listed))


def _is_main(name: str) -> bool:
    return bool(_CVE.match(name)) or name.startswith(_GHSA)


def joined(namings: Sequence[Naming], advisory_ids: Sequence[str]) -> list[Vulnerability]:
    """Return the vulnerabilities that records speak of, each once, by main id."""
    if len(namings) == 1 and namings[0].same:  # most packages that have any have one
        return [
            Vulnerability(_by_rank({*namings[0].same, *namings[0].subjects, *advisory_ids}), (0,))
        ]
    sets = _Sets()
    for naming in namings:
        for name in naming.same:
            sets.join(naming.same[0], name)
    names: dict[Hashable, dict[str, None]] = {}
    members: dict[Hashable, dict[int, None]] = {}
    for naming in namings:
        for name in (*naming.subjects, *naming.same):
            names.setdefault(sets.root(name), {})[name] = None
    for place, naming in enumerate(namings):
        for subject in naming.subjects:
            root = sets.root(subject)
            members.setdefault(root, {})[place] = None
            names[root][advisory_ids[place]] = None
    found = [
        Vulnerability(_by_rank(names[root]), tuple(places)) for root, places in members.items()
    ]
    return sorted(found, key=lambda one: _rank(one.ids[0]))


class _Sets:
    """Disjoint sets of ids."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            self._parent[name] = self._parent.get(parent, parent)
            name = parent
        return name

    def join(self, one: str, other: str) -> None:
        self._parent[self.root(other)] = self.root(one)


def _by_rank(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=_rank))


def _rank(name: str) -> tuple[int, int, int, str]:
    match = _CVE.match(name) if name.startswith("CVE-") else None
    if match:
        return 0, int(match[1]), int(match[2]), name
    return (1 if name.startswith(_GHSA) else 2), 0, 0, name
