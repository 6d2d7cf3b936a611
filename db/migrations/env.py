"""How Alembic runs the migrations: on a connection it is given, or offline to print them.

``alembic`` itself is for developers (``alembic revision``); the scanner passes its own connection.
"""

from __future__ import annotations

from alembic import context

from scanner.store._tables import METADATA


def run() -> None:
    """Run the migrations in the caller's transaction."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        render_as_batch=True,  # SQLite alters a table by copying it
    )
    context.run_migrations()


run()
