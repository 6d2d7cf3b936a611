"""Fixtures that every folder may ask for."""

from __future__ import annotations

from support.postgres import (  # noqa: F401 - fixtures: one server for a whole run (per worker)
    postgresql,
    postgresql_url,
    where,
)
from support.registry import registry  # noqa: F401 - a fixture: one process for a whole run (per worker)
