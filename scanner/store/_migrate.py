"""Bring an older database up to date with the shipped migrations. Imported only when that is due."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from scanner.store._errors import store_error

_PACKAGE: Final = Path(__file__).parents[1]


def migrations_directory() -> Path:
    """Return where the migrations are: inside the installed package, or in the checkout."""
    shipped = _PACKAGE / "_migrations"
    return shipped if shipped.is_dir() else _PACKAGE.parent / "db" / "migrations"


def migrations_config(connection: Connection | None = None) -> Config:
    """Return Alembic's settings; ``connection`` is what the migrations run on."""
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, version: str, where: str) -> None:
    """Run the migrations after ``version``, in the caller's transaction.

    Raises:
        StoreError: ``version`` is not one of ours: a newer scanner made it.
    """
    try:
        ScriptDirectory.from_config(migrations_config()).get_revision(version)
    except CommandError as error:
        reason = f"made by a newer scanner (its tables are at revision {version})"
        hint = "update this scanner, or set store.directory to another place"
        raise store_error(where, reason, hint) from error
    command.upgrade(migrations_config(connection), "head")
