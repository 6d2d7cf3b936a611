"""Look into predicates that others may have written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def text_at(*keys: str) -> Callable[[dict[str, Any]], str]:
    """Return a function that gives the text below these keys; empty where there is none."""

    def text(predicate: dict[str, Any]) -> str:
        value: Any = predicate
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, str) else ""

    return text
