"""CVSS 3.0 and 3.1: the base score of ``CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H``.

Source: https://www.first.org/cvss/v3-1/specification-document
"""

from __future__ import annotations

import math
from typing import Final

from scanner.advisories.cvss.vector import metrics_of

_MANDATORY: Final = "AV AC PR UI S C I A"
_VALUES: Final = {
    "AV": "N A L P", "AC": "L H", "PR": "N L H", "UI": "N R", "S": "U C", "C": "H L N", "I": "H L N", "A": "H L N",
    "E": "X U P F H", "RL": "X O T W U", "RC": "X U R C", "CR": "X L M H", "IR": "X L M H", "AR": "X L M H",
    "MAV": "X N A L P", "MAC": "X L H", "MPR": "X N L H", "MUI": "X N R", "MS": "X U C",
    "MC": "X H L N", "MI": "X H L N", "MA": "X H L N",
}  # fmt: skip
_PREFIXES: Final = ("CVSS:3.0/", "CVSS:3.1/")
_VECTOR: Final = {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2}
_COMPLEXITY: Final = {"L": 0.77, "H": 0.44}
_PRIVILEGES: Final = {
    "U": {"N": 0.85, "L": 0.62, "H": 0.27},
    "C": {"N": 0.85, "L": 0.68, "H": 0.5},
}
_INTERACTION: Final = {"N": 0.85, "R": 0.62}
_LOSS: Final = {"H": 0.56, "L": 0.22, "N": 0.0}
_MOST: Final = 10.0


def score(text: str) -> float | None:
    """Return 0 to 10, the temporal and environmental metrics left aside; None for no vector."""
    m = metrics_of(text[len(_PREFIXES[0]) :], _VALUES, _MANDATORY)
    if m is None or not text.startswith(_PREFIXES):
        return None
    kept = (1 - _LOSS[m["C"]]) * (1 - _LOSS[m["I"]]) * (1 - _LOSS[m["A"]])
    is_changed = m["S"] == "C"
    impact = _impact(1 - kept, is_changed=is_changed)
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * _VECTOR[m["AV"]] * _COMPLEXITY[m["AC"]]
    exploitability *= _PRIVILEGES[m["S"]][m["PR"]] * _INTERACTION[m["UI"]]
    total = min((impact + exploitability) * (1.08 if is_changed else 1.0), _MOST)
    return math.ceil(total * 10) / 10 if text.startswith(_PREFIXES[0]) else _rounded_up(total)


def _impact(loss: float, *, is_changed: bool) -> float:
    if not is_changed:
        return 6.42 * loss
    return float(7.52 * (loss - 0.029) - 3.25 * (loss - 0.02) ** 15)


def _rounded_up(value: float) -> float:
    """Round up to one decimal place as 3.1 says, so that 4.000000001 stays 4."""
    thousands = round(value * 100_000)
    return thousands / 100_000 if thousands % 10_000 == 0 else (thousands // 10_000 + 1) / 10
