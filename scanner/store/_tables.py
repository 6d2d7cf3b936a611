"""The tables. ``db/migrations`` makes the same ones step by step; a test holds the two together."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, LargeBinary, MetaData, PrimaryKeyConstraint, String, Table

HEAD: Final = "0001"
"""The newest revision in ``db/migrations/versions``; known here so that opening need not import Alembic."""

METADATA: Final = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"}
)

VERSIONS: Final = Table(
    "alembic_version",
    MetaData(),  # Alembic's own: it makes and changes it
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

LAYER_REPORTS: Final = Table(
    "layer_reports",
    METADATA,
    Column("digest", String(160), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("report", LargeBinary, nullable=False),  # see _codec
    Column("created_at", String(32), nullable=False),  # RFC 3339, UTC
)

IMAGE_REPORTS: Final = Table(
    "image_reports",
    METADATA,
    Column("digest", String(160), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("reference", String(1024), nullable=False),  # by which it was last scanned
    Column("report", LargeBinary, nullable=False),
    Column("created_at", String(32), nullable=False),
)
