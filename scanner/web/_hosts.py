"""Which registries may be spoken to on somebody else's word."""

from __future__ import annotations

from collections.abc import Iterable


def is_allowed_host(host: str, allowed: Iterable[str]) -> bool:
    """Return whether ``host[:port]`` is on the list: word by word, below ``*.example.com``, or ``*``.

    The port counts: an entry without one allows the standard port only.
    """
    lowered = host.lower()
    return bool(lowered) and any(_matches(lowered, entry.lower()) for entry in allowed)


def _matches(host: str, entry: str) -> bool:
    if entry == "*":
        return True
    if entry.startswith("*."):
        return host.endswith(entry[1:]) and len(host) > len(entry) - 1
    return host == entry
