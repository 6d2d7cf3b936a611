"""Fixtures of the service's own tests."""

from __future__ import annotations

from support.postgres import postgresql, postgresql_url, where  # noqa: F401 - fixtures
from support.service import service, shared_cache  # noqa: F401 - fixtures
