"""CVSS 2: the base score of ``AV:N/AC:L/Au:N/C:P/I:P/A:P``.

Source: https://www.first.org/cvss/v2/guide
"""

from __future__ import annotations

from typing import Final

from scanner.advisories.cvss.vector import metrics_of

_MANDATORY: Final = "AV AC Au C I A"
_VALUES: Final = {
    "AV": "L A N", "AC": "H M L", "Au": "M S N", "C": "N P C", "I": "N P C", "A": "N P C",
    "E": "ND U POC F H", "RL": "ND OF TF W U", "RC": "ND UC UR C",
    "CDP": "ND N L LM MH H", "TD": "ND N L M H", "CR": "ND L M H", "IR": "ND L M H", "AR": "ND L M H",
}  # fmt: skip
_VECTOR: Final = {"L": 0.395, "A": 0.646, "N": 1.0}
_COMPLEXITY: Final = {"H": 0.35, "M": 0.61, "L": 0.71}
_AUTHENTICATION: Final = {"M": 0.45, "S": 0.56, "N": 0.704}
_LOSS: Final = {"N": 0.0, "P": 0.275, "C": 0.66}


def score(text: str) -> float | None:
    """Return 0 to 10, the temporal and environmental metrics left aside; None for no vector."""
    m = metrics_of(text.removeprefix("CVSS2#").strip("()"), _VALUES, _MANDATORY)
    if m is None:
        return None
    kept = (1 - _LOSS[m["C"]]) * (1 - _LOSS[m["I"]]) * (1 - _LOSS[m["A"]])
    impact = 10.41 * (1 - kept)
    exploitability = 20 * _VECTOR[m["AV"]] * _COMPLEXITY[m["AC"]] * _AUTHENTICATION[m["Au"]]
    weight = 1.176 if impact else 0.0
    return int((0.6 * impact + 0.4 * exploitability - 1.5) * weight * 10 + 0.5 + 1e-9) / 10
