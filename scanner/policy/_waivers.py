"""Waivers, found by what they name: two hundred of them cost no more than one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from scanner.model import Finding
from scanner.model.vulnerability import vulnerability_ids
from scanner.policy import _globs
from scanner.policy._match import package_matcher
from scanner.policy.document import Waiver, Where


class CompiledWhere:
    """Images and namespaces, compiled."""

    def __init__(self, where: Where) -> None:
        self._images = _globs.matcher(where.images) if where.images else None
        self._namespaces = _globs.matcher(where.namespaces) if where.namespaces else None

    def covers(self, name: str, namespace: str) -> bool:
        """Whether it holds there; what is unknown (empty) is in no list."""
        return _is_in(self._images, name) and _is_in(self._namespaces, namespace)


def _is_in(matcher: Callable[[str], bool] | None, text: str) -> bool:
    return matcher is None or (bool(text) and matcher(text))


@dataclass(frozen=True, slots=True)
class _Compiled:
    waiver: Waiver
    where: CompiledWhere | None
    of_package: Callable[[str], bool] | None
    of_path: Callable[[str], bool] | None

    def covers(self, finding: Finding) -> bool:
        """Whether it is about the finding; all that it names must agree."""
        waiver = self.waiver
        return (
            (not waiver.finding or waiver.finding == finding.fingerprint)
            and (not waiver.rule or waiver.rule == finding.rule_id)
            and (not waiver.id or waiver.id.upper() in map(str.upper, vulnerability_ids(finding)))
            and (self.of_package is None or self.of_package(finding.package))
            and (self.of_path is None or self.of_path(finding.path))
        )


_PLACES_REMEMBERED: Final = 256
_NONE: Final[list[_Compiled]] = []


class WaiverIndex:
    """All waivers of a policy."""

    def __init__(self, waivers: Iterable[Waiver]) -> None:
        self._all = [
            _Compiled(
                waiver,
                CompiledWhere(waiver.where) if waiver.where else None,
                package_matcher(waiver.packages) if waiver.packages else None,
                _globs.matcher(waiver.paths) if waiver.paths else None,
            )
            for waiver in waivers
        ]

        self.within = lru_cache(maxsize=_PLACES_REMEMBERED)(self._within)
        """Return those that hold for ``registry/repository`` in a namespace."""

    def _within(self, name: str, namespace: str) -> WaiversInScope:
        return WaiversInScope(
            w for w in self._all if w.where is None or w.where.covers(name, namespace)
        )


class WaiversInScope:
    """Waivers by fingerprint, else by vulnerability id, else by rule id."""

    def __init__(self, waivers: Iterable[_Compiled]) -> None:
        self._by_finding: dict[str, list[_Compiled]] = {}
        self._by_id: dict[str, list[_Compiled]] = {}
        self._by_rule: dict[str, list[_Compiled]] = {}
        for compiled in waivers:
            waiver = compiled.waiver
            if waiver.finding:
                self._by_finding.setdefault(waiver.finding, []).append(compiled)
            elif waiver.id:
                self._by_id.setdefault(waiver.id.upper(), []).append(compiled)
            else:
                self._by_rule.setdefault(waiver.rule, []).append(compiled)

    def best_for(self, finding: Finding) -> Waiver | None:
        """Return the waiver that lasts longest, the first of those in the document; it may have expired."""
        candidates = self._by_finding.get(finding.fingerprint, _NONE)
        if self._by_rule:
            candidates = [*candidates, *self._by_rule.get(finding.rule_id, _NONE)]
        if self._by_id:
            for name in vulnerability_ids(finding):
                named = self._by_id.get(name.upper())
                if named:
                    candidates = [*candidates, *named]
        if not candidates:
            return None
        covering = [c.waiver for c in candidates if c.covers(finding)]
        return min(covering, key=_longest_first, default=None)


def _longest_first(waiver: Waiver) -> tuple[float, int]:
    return -_seconds(waiver.expires_at), waiver.line


def _seconds(moment: datetime) -> float:
    return (moment - datetime.min.replace(tzinfo=moment.tzinfo)).total_seconds()
