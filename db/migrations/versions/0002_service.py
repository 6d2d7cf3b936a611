"""The service: scans and their queue, what is known of images, tags, packages, findings, deliveries, tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("dedupe_key", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_dedupe_key", "deliveries", ["source", "dedupe_key"], unique=True)
    op.create_index("ix_deliveries_source", "deliveries", ["source", "id"], unique=False)
    op.create_table(
        "images",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=160), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("platform", sa.String(length=255), nullable=False),
        sa.Column("config_digest", sa.String(length=160), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("critical_count", sa.Integer(), nullable=False),
        sa.Column("high_count", sa.Integer(), nullable=False),
        sa.Column("medium_count", sa.Integer(), nullable=False),
        sa.Column("low_count", sa.Integer(), nullable=False),
        sa.Column("info_count", sa.Integer(), nullable=False),
        sa.Column("packages_count", sa.Integer(), nullable=False),
        sa.Column("coverage", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("reference", sa.String(length=1024), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("report_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("scanned_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_images")),
    )
    op.create_index("ix_images_digest", "images", ["digest"], unique=True)
    op.create_index("ix_images_scanned_at", "images", ["scanned_at"], unique=False)
    op.create_table(
        "packages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("purl_hash", sa.String(length=40), nullable=False),
        sa.Column("name_hash", sa.String(length=40), nullable=False),
        sa.Column("purl_type", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("purl", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packages")),
    )
    op.create_index("ix_packages_name_hash", "packages", ["name_hash", "id"], unique=False)
    op.create_index("ix_packages_purl_hash", "packages", ["purl_hash"], unique=True)
    op.create_table(
        "scans",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("reference", sa.String(length=1024), nullable=False),
        sa.Column("registry", sa.String(length=255), nullable=False),
        sa.Column("repository", sa.String(length=255), nullable=False),
        sa.Column("tag", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=160), nullable=False),
        sa.Column("platforms", sa.String(length=1024), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("requested_by", sa.String(length=255), nullable=False),
        sa.Column("dedupe_key", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_by", sa.String(length=128), nullable=False),
        sa.Column("lease_until_at", sa.BigInteger(), nullable=True),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scans")),
    )
    op.create_index(
        "ix_scans_active",
        "scans",
        ["dedupe_key"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'scanning')"),
        postgresql_where=sa.text("state IN ('queued', 'scanning')"),
    )
    op.create_index("ix_scans_digest", "scans", ["digest", "id"], unique=False)
    op.create_index(
        "ix_scans_leased",
        "scans",
        ["lease_until_at", "registry"],
        unique=False,
        sqlite_where=sa.text("state = 'scanning'"),
        postgresql_where=sa.text("state = 'scanning'"),
    )
    op.create_index(
        "ix_scans_queued",
        "scans",
        ["priority", "id", "not_before_at", "registry", "state"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_scans_finished_at",
        "scans",
        ["finished_at", "id"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_scans_over",
        "scans",
        ["state", "id"],
        unique=False,
        sqlite_where=sa.text("state NOT IN ('queued', 'scanning')"),
        postgresql_where=sa.text("state NOT IN ('queued', 'scanning')"),
    )
    op.create_table(
        "tag_checks",
        sa.Column("registry", sa.String(length=255), nullable=False),
        sa.Column("repository", sa.String(length=255), nullable=False),
        sa.Column("tag", sa.String(length=128), nullable=False),
        sa.Column("not_before_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("told_id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("registry", "repository", "tag", name=op.f("pk_tag_checks")),
    )
    op.create_index("ix_tag_checks_not_before_at", "tag_checks", ["not_before_at"], unique=False)
    op.create_table(
        "tags",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("registry", sa.String(length=255), nullable=False),
        sa.Column("repository", sa.String(length=255), nullable=False),
        sa.Column("tag", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=160), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("replaced_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
    )
    op.create_index(
        "ix_tags_current",
        "tags",
        ["registry", "repository", "tag"],
        unique=True,
        sqlite_where=sa.text("replaced_at IS NULL"),
        postgresql_where=sa.text("replaced_at IS NULL"),
    )
    op.create_index("ix_tags_digest", "tags", ["digest"], unique=False)
    op.create_index("ix_tags_tag", "tags", ["registry", "repository", "tag", "id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("scopes", sa.String(length=255), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )
    op.create_index("ix_tokens_secret_hash", "tokens", ["secret_hash"], unique=True)
    op.create_table(
        "findings",
        sa.Column(
            "image_key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("rule_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("deleted_later", sa.Boolean(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_key"], ["images.key"], name="fk_findings_image_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_key", "position", name=op.f("pk_findings")),
    )
    op.create_index("ix_findings_fingerprint", "findings", ["fingerprint"], unique=False)
    op.create_index(
        "ix_findings_rule_id", "findings", ["rule_id", "image_key", "position"], unique=False
    )
    op.create_table(
        "image_layers",
        sa.Column(
            "image_key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("layer_digest", sa.String(length=160), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_key"], ["images.key"], name="fk_image_layers_image_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_key", "position", name=op.f("pk_image_layers")),
    )
    op.create_index("ix_image_layers_layer_digest", "image_layers", ["layer_digest"], unique=False)
    op.create_table(
        "image_locations",
        sa.Column(
            "image_key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("registry", sa.String(length=255), nullable=False),
        sa.Column("repository", sa.String(length=255), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_key"], ["images.key"], name="fk_image_locations_image_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "image_key", "registry", "repository", name=op.f("pk_image_locations")
        ),
    )
    op.create_index(
        "ix_image_locations_registry", "image_locations", ["registry", "repository"], unique=False
    )
    op.create_table(
        "image_packages",
        sa.Column(
            "image_key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "package_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("layer_index", sa.Integer(), nullable=True),
        sa.Column("declared", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_key"], ["images.key"], name="fk_image_packages_image_key", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["package_id"], ["packages.id"], name="fk_image_packages_package_id"
        ),
        sa.PrimaryKeyConstraint("image_key", "position", name=op.f("pk_image_packages")),
    )
    op.create_index(
        "ix_image_packages_package_id",
        "image_packages",
        ["package_id", "image_key", "position"],
        unique=False,
    )
    op.create_table(
        "index_children",
        sa.Column(
            "index_key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("child_digest", sa.String(length=160), nullable=False),
        sa.Column("platform", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["index_key"], ["images.key"], name="fk_index_children_index_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("index_key", "position", name=op.f("pk_index_children")),
    )
    op.create_index(
        "ix_index_children_child_digest", "index_children", ["child_digest"], unique=False
    )


def downgrade() -> None:
    op.drop_table("index_children")
    op.drop_table("image_packages")
    op.drop_table("image_locations")
    op.drop_table("image_layers")
    op.drop_table("findings")
    op.drop_table("tokens")
    op.drop_table("tags")
    op.drop_table("tag_checks")
    op.drop_table("scans")
    op.drop_table("packages")
    op.drop_table("images")
    op.drop_table("deliveries")
