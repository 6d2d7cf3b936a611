"""Fixtures of the scripts' tests."""

from __future__ import annotations

from support.postgres import postgresql, postgresql_url, where  # noqa: F401 - fixtures
