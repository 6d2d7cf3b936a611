"""The database. The only package that imports SQLAlchemy."""

from scanner.store.reports import SqlStore, open_store

__all__ = ["SqlStore", "open_store"]
