"""Fixtures of the service's tests: ``where`` runs one on both databases."""

from __future__ import annotations

from support.postgres import postgresql, postgresql_url, where  # noqa: F401 - fixtures
