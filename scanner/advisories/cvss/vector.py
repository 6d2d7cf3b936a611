"""A CVSS vector of any version, as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LENGTH: Final = 512


def metrics_of(text: str, values: Mapping[str, str], mandatory: str) -> dict[str, str] | None:
    """Return the metrics of ``AV:N/AC:L/…``; None for unknown, doubled or missing ones.

    ``values``: the values of each metric, separated by blanks; ``mandatory``: metrics that must be there.
    """
    if len(text) > _LENGTH:
        return None
    found: dict[str, str] = {}
    for part in text.split("/"):
        metric, _, value = part.partition(":")
        if metric in found or value not in values.get(metric, "").split():
            return None
        found[metric] = value
    return found if found.keys() >= set(mandatory.split()) else None
