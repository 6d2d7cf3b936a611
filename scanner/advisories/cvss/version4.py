"""CVSS 4.0: the score of ``CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N``.

A vector belongs to a MacroVector of six digits, whose score experts agreed on. Within it, the score falls with the
distance from the worst vector towards the score of the next lower MacroVector.

Source: https://www.first.org/cvss/v4-0/specification-document
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from scanner.advisories.cvss._table4 import SCORES
from scanner.advisories.cvss.vector import metrics_of

_PREFIX: Final = "CVSS:4.0/"
_MANDATORY: Final = "AV AC AT PR UI VC VI VA SC SI SA"
_BASE: Final = {
    "AV": "N A L P", "AC": "L H", "AT": "N P", "PR": "N L H", "UI": "N P A",
    "VC": "H L N", "VI": "H L N", "VA": "H L N", "SC": "H L N", "SI": "H L N", "SA": "H L N",
}  # fmt: skip
_VALUES: Final = {
    **_BASE,
    **{f"M{name}": f"X {values}" for name, values in _BASE.items()},
    "MSI": "X S H L N", "MSA": "X S H L N",
    "E": "X A P U", "CR": "X H M L", "IR": "X H M L", "AR": "X H M L",
    "S": "X N P", "AU": "X N Y", "R": "X A U I", "V": "X D C", "RE": "X L M H", "U": "X Clear Green Amber Red",
}  # fmt: skip
_WORST: Final = {"E": "A", "CR": "H", "IR": "H", "AR": "H"}
"""What is assumed where a metric is not given."""
_STEPS: Final = {
    "AV": "NALP", "PR": "NLH", "UI": "NPA", "AC": "LH", "AT": "NP", "VC": "HLN", "VI": "HLN", "VA": "HLN",
    "SC": "SHLN", "SI": "SHLN", "SA": "SHLN", "CR": "HML", "IR": "HML", "AR": "HML",
}  # fmt: skip
"""Values from the worst on; each is one step from the one before."""
_HIGHEST: Final[dict[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    ("AV", "PR", "UI"): {"0": ("NNN",), "1": ("ANN", "NLN", "NNP"), "2": ("PNN", "ALP")},
    ("AC", "AT"): {"0": ("LN",), "1": ("HN", "LP")},
    ("VC", "VI", "VA", "CR", "IR", "AR"): {
        "00": ("HHHHHH",),
        "01": ("HHLMMH", "HHHMMM"),
        "10": ("LHHHHH", "HLHHHH"),
        "11": ("LHLHMH", "LHHHMM", "HLHMHM", "HLLMHH", "LLHHHM"),
        "21": ("LLLHHH",),
    },
    ("SC", "SI", "SA"): {"0": ("HSS",), "1": ("HHH",), "2": ("LLL",)},
}
"""The worst vectors of each set of metrics, by what its digits of the MacroVector are."""
_DEPTHS: Final[dict[tuple[str, ...], dict[str, int]]] = {
    ("AV", "PR", "UI"): {"0": 1, "1": 4, "2": 5},
    ("AC", "AT"): {"0": 1, "1": 2},
    ("VC", "VI", "VA", "CR", "IR", "AR"): {"00": 7, "01": 6, "10": 8, "11": 8, "21": 10},
    ("SC", "SI", "SA"): {"0": 6, "1": 5, "2": 4},
}
"""Steps from the worst vector to the next lower MacroVector."""
_PLACES: Final = ((0,), (1,), (2, 5), (3,))
"""Where the digits of each of these sets are."""
_EXPLOITS_PLACE: Final = 4
_MOST: Final = 10.0


def score(text: str) -> float | None:
    """Return 0 to 10 from all metrics that are given; None for no vector."""
    given = metrics_of(text[len(_PREFIX) :], _VALUES, _MANDATORY)
    if given is None or not text.startswith(_PREFIX):
        return None
    metrics = _effective(given)
    if all(metrics[name] == "N" for name in ("VC", "VI", "VA", "SC", "SI", "SA")):
        return 0.0
    macro = _macro_vector(metrics)
    falls = list(_falls(metrics, macro))
    total = SCORES[macro] - (math.fsum(falls) / len(falls) if falls else 0.0)
    return math.floor(min(max(total, 0.0), _MOST) * 10 + 0.5 + 1e-5) / 10


def _effective(given: Mapping[str, str]) -> dict[str, str]:
    """Return each metric as the environment modifies it."""
    found = {name: given[name] for name in _BASE}
    for name in _BASE:
        if (modified := given.get(f"M{name}", "X")) != "X":
            found[name] = modified
    for name, worst in _WORST.items():
        value = given.get(name, "X")
        found[name] = worst if value == "X" else value
    return found


def _macro_vector(m: Mapping[str, str]) -> str:
    easy = [m["AV"] == "N", m["PR"] == "N", m["UI"] == "N"]
    eq1 = 0 if all(easy) else 1 if any(easy) and m["AV"] != "P" else 2
    eq2 = 0 if m["AC"] == "L" and m["AT"] == "N" else 1
    is_high = [m[name] == "H" for name in ("VC", "VI", "VA")]
    eq3 = 0 if is_high[0] and is_high[1] else 1 if any(is_high) else 2
    beyond = [m[name] for name in ("SC", "SI", "SA")]
    eq4 = 0 if "S" in beyond else 1 if "H" in beyond else 2
    eq5 = "APU".index(m["E"])
    needed = [m[name] == "H" for name in ("CR", "IR", "AR")]
    eq6 = 0 if any(map(all, zip(is_high, needed, strict=True))) else 1
    return f"{eq1}{eq2}{eq3}{eq4}{eq5}{eq6}"


def _falls(metrics: Mapping[str, str], macro: str) -> list[float]:
    """Return how far the score falls for each set of metrics that has a next lower MacroVector."""
    found = []
    for (names, highest), places in zip(_HIGHEST.items(), _PLACES, strict=True):
        lower = _lower(macro, places)
        if lower is None:
            continue
        digits = "".join(macro[place] for place in places)
        steps = _steps(metrics, names, highest[digits])
        found.append((SCORES[macro] - lower) * steps / _DEPTHS[names][digits])
    if _lower(macro, (_EXPLOITS_PLACE,)) is not None:
        found.append(0.0)  # counts, but its worst vector is the only one
    return found


def _lower(macro: str, places: tuple[int, ...]) -> float | None:
    """Return the score of the next lower MacroVector, the higher one where there are two."""
    scores = [
        found
        for place in places
        if (found := SCORES.get(f"{macro[:place]}{int(macro[place]) + 1}{macro[place + 1 :]}"))
    ]
    return max(scores, default=None)


def _steps(metrics: Mapping[str, str], names: tuple[str, ...], highest: tuple[str, ...]) -> int:
    """Return the steps from the first of the worst vectors that is worse in every metric."""
    for worst in highest:
        steps = [
            _STEPS[name].index(metrics[name]) - _STEPS[name].index(value)
            for name, value in zip(names, worst, strict=True)
        ]
        if min(steps) >= 0:
            return sum(steps)
    return 0
