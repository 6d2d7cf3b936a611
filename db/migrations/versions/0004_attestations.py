"""Signed statements about images, what is still to be signed, and where it is published."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WHOLE = "kind <> 'index' OR state = 'complete'"
"""Of an index it is not known here whether all its platforms were asked for, unless it is complete."""


def upgrade() -> None:
    op.create_table(
        "attested_images",
        _of_image(),
        sa.Column("asked_id", sa.String(length=26), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("setup", sa.String(length=64), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=True),
        sa.Column("renew_at", sa.BigInteger(), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        _belongs_to_image("attested_images"),
        sa.PrimaryKeyConstraint("image_key", name=op.f("pk_attested_images")),
    )
    _index("ix_attested_images_due_at", "attested_images", "due_at")
    _index("ix_attested_images_renew_at", "attested_images", "renew_at")
    op.create_table(
        "attestations",
        _of_image(),
        sa.Column("predicate_type", sa.String(length=255), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        _belongs_to_image("attestations"),
        sa.PrimaryKeyConstraint(
            "image_key", "predicate_type", "key_id", name=op.f("pk_attestations")
        ),
    )
    op.create_table(
        "attestation_publications",
        _of_image(),
        sa.Column("registry", sa.String(length=255), nullable=False),
        sa.Column("repository", sa.String(length=255), nullable=False),
        sa.Column("asked_id", sa.String(length=26), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        _belongs_to_image("attestation_publications"),
        sa.PrimaryKeyConstraint(
            "image_key", "registry", "repository", name=op.f("pk_attestation_publications")
        ),
    )
    _index("ix_attestation_publications_due_at", "attestation_publications", "due_at", "state")
    # What is known already is signed, too, once somebody has statements made.
    op.execute(
        "INSERT INTO attested_images"  # noqa: S608 - no text from outside
        " (image_key, asked_id, due_at, attempts, setup, basis, error_code, error)"
        f" SELECT key, '', scanned_at, 0, '', '', '', '' FROM images WHERE {_WHOLE}"
    )


def _of_image() -> sa.Column[int]:
    return sa.Column("image_key", _KEY, autoincrement=False, nullable=False)


def _belongs_to_image(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["image_key"], ["images.key"], name=f"fk_{table}_image_key", ondelete="CASCADE"
    )


def _index(name: str, table: str, column: str, *more: str) -> None:
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(
        name, table, [column, *more], unique=False, sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    op.drop_table("attestation_publications")
    op.drop_table("attestations")
    op.drop_table("attested_images")
