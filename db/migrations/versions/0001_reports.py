"""Reports of layers and images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "layer_reports",
        sa.Column("digest", sa.String(160), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("report", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("digest", "fingerprint", name="pk_layer_reports"),
    )
    op.create_table(
        "image_reports",
        sa.Column("digest", sa.String(160), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("reference", sa.String(1024), nullable=False),
        sa.Column("report", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("digest", "fingerprint", name="pk_image_reports"),
    )


def downgrade() -> None:
    op.drop_table("image_reports")
    op.drop_table("layer_reports")
