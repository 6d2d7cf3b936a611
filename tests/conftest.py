"""Fixtures that every folder may ask for."""

from __future__ import annotations

from support.registry import registry  # noqa: F401 - a fixture: one process for a whole run (per worker)
