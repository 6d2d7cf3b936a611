"""Comparisons of versions: ``<2.17``, ``>=1,<2``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from scanner.errors import InvalidReferenceError
from scanner.ports.version import VERSION_LENGTH, VersionScheme

_COMPARISON: Final = re.compile(r"\s*(<=|>=|==|=|<|>|)\s*([^\s<>=,]+)\s*\Z")
_COMPARISONS_COUNT: Final = 8
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Comparisons that all must hold: (operator, version)."""

    comparisons: tuple[tuple[str, str], ...]

    @property
    def exact(self) -> str:
        """The only version meant, empty if the range is one."""
        (sign, version), *more = self.comparisons
        return version if sign == "=" and not more else ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Versions inside a range, and those that no scheme can place."""

    inside: tuple[str, ...]
    incomparable: tuple[str, ...]


def parse_range(text: str) -> VersionRange:
    """Return comma-joined comparisons; a version alone means itself.

    Raises:
        InvalidReferenceError: it has another form.
    """
    parts = text.split(",")
    matches = [_COMPARISON.match(part) for part in parts]
    found = [(m[1].replace("==", "=") or "=", m[2]) for m in matches if m is not None]
    if len(found) != len(parts) or len(found) > _COMPARISONS_COUNT:
        raise InvalidReferenceError(text[:160], "expected versions like <2.17 or >=1,<2")
    return VersionRange(tuple(found))


def select(wanted: VersionRange, versions: Iterable[str], scheme: VersionScheme) -> Selection:
    """Return which of ``versions`` are in the range, in their order.

    Raises:
        InvalidReferenceError: a bound is no version of the scheme.
    """
    bounds = [(_OPERATORS[sign], _bound(text, scheme)) for sign, text in wanted.comparisons]
    inside, incomparable = [], []
    for version in versions:
        key = _key(version, scheme)
        if key is None:
            incomparable.append(version)
        elif all(holds(key, bound) for holds, bound in bounds):
            inside.append(version)
    return Selection(tuple(inside), tuple(incomparable))


def _bound(text: str, scheme: VersionScheme) -> Any:
    key = _key(text, scheme)
    if key is None:
        raise InvalidReferenceError(text[:160], f"not a version of the scheme {scheme.name}")
    return key


def _key(text: str, scheme: VersionScheme) -> Any:
    return scheme.key(text) if 0 < len(text) <= VERSION_LENGTH else None
