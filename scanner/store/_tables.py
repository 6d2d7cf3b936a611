"""The tables. ``db/migrations`` makes the same ones step by step; a test holds the two together.

Moments of the service's tables (``*_at``) are whole milliseconds since 1970, UTC, so that both databases
compare and add to them alike. Text that an image brings (names, paths, titles) has no length and stands in
no index: PostgreSQL refuses index rows beyond 2,704 bytes, and a hostile image would bring them. Where such
a text must be found, a hash of it is indexed.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    event,
    text,
)

HEAD: Final = "0004"
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

_CONDITION: Final = "condition"
_KEY: Final = BigInteger().with_variant(Integer, "sqlite")  # the only type SQLite counts up itself


def _only(name: str, condition: str, *columns: str, unique: bool = False) -> Index:
    """Return an index over the rows that ``condition`` names; both databases have those."""
    return Index(name, *columns, unique=unique, info={_CONDITION: condition})


@event.listens_for(METADATA, "before_create")
def _set_conditions(metadata: MetaData, connection: Connection, **_: Any) -> None:
    """Tell the one dialect there is: naming the other's option loads that whole dialect, at each scan's start."""
    for table in metadata.tables.values():
        for index in table.indexes:
            if condition := index.info.get(_CONDITION):
                index.dialect_options[connection.dialect.name]["where"] = text(condition)


ACTIVE: Final = "state IN ('queued', 'scanning')"
OVER: Final = "state NOT IN ('queued', 'scanning')"
"""Conditions of partial indexes: SQLite uses those only for a query that has the very same words in it. No index
has queued scans beside finished ones, as SQLite would take that one and sort a long queue at each lease."""

SCANS: Final = Table(
    "scans",  # the queue, too: there is no second record of what is to be done
    METADATA,
    Column("id", String(26), primary_key=True),  # ULID: sorts by the moment it was made
    Column("reference", String(1024), nullable=False),
    Column("registry", String(255), nullable=False),
    Column("repository", String(255), nullable=False),
    Column("tag", String(128), nullable=False),
    Column("digest", String(160), nullable=False),  # empty until the tag is resolved
    Column("platforms", String(1024), nullable=False),  # comma-joined; empty: every runnable one
    Column("state", String(16), nullable=False),
    Column("priority", SmallInteger, nullable=False),  # 0 goes before 1
    Column("requested_by", String(255), nullable=False),
    Column("dedupe_key", String(64), nullable=False),
    Column(
        "attempts", Integer, nullable=False
    ),  # leases so far; fences off the holders of old ones
    Column("not_before_at", BigInteger, nullable=False),
    Column("leased_by", String(128), nullable=False),
    Column("lease_until_at", BigInteger),
    Column("heartbeat_at", BigInteger),
    Column("cancel_requested", Boolean, nullable=False),
    Column("stage", String(32), nullable=False),
    Column("progress", Text, nullable=False),  # JSON object
    Column("error_code", String(64), nullable=False),
    Column("error", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),  # of the last attempt
    Column("finished_at", BigInteger),
    Column("fingerprint", String(64), nullable=False),  # of the analyzers that looked
    _only("ix_scans_active", ACTIVE, "dedupe_key", unique=True),
    _only(
        "ix_scans_queued",
        "state = 'queued'",
        *("priority", "id", "not_before_at", "registry", "state"),  # all that the queue asks for
    ),
    _only("ix_scans_leased", "state = 'scanning'", "lease_until_at", "registry"),
    Index("ix_scans_digest", "digest", "id"),
    _only("ix_scans_over", OVER, "state", "id"),
    _only("ix_scans_finished_at", "finished_at IS NOT NULL", "finished_at", "id"),
)

IMAGES: Final = Table(
    "images",  # what is known of a digest: an image, or an index with its images' worst and sums
    METADATA,
    Column("key", _KEY, primary_key=True),  # short, for the tables with many rows per image
    Column("digest", String(160), nullable=False),
    Column("kind", String(8), nullable=False),  # image, index
    Column("platform", String(255), nullable=False),
    Column("config_digest", String(160), nullable=False),
    Column("state", String(16), nullable=False),
    Column("critical_count", Integer, nullable=False),
    Column("high_count", Integer, nullable=False),
    Column("medium_count", Integer, nullable=False),
    Column("low_count", Integer, nullable=False),
    Column("info_count", Integer, nullable=False),
    Column("packages_count", Integer, nullable=False),
    Column("coverage", Text, nullable=False),  # JSON object: counts, not the issues themselves
    Column("error", Text, nullable=False),
    Column("reference", String(1024), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("report_fingerprint", String(64), nullable=False),  # under which image_reports has it
    Column("envelope", Text, nullable=False),  # JSON: the scan report without its images
    Column("scanned_at", BigInteger, nullable=False),
    Index("ix_images_digest", "digest", unique=True),
    Index("ix_images_scanned_at", "scanned_at"),
)


def _of_image(table: str, column: str = "image_key") -> Column[int]:
    where = ForeignKey("images.key", name=f"fk_{table}_{column}", ondelete="CASCADE")
    return Column(column, _KEY, where, primary_key=True, autoincrement=False)


INDEX_CHILDREN: Final = Table(
    "index_children",
    METADATA,
    _of_image("index_children", "index_key"),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("child_digest", String(160), nullable=False),
    Column("platform", String(255), nullable=False),
    Index("ix_index_children_child_digest", "child_digest"),
)

IMAGE_LOCATIONS: Final = Table(
    "image_locations",
    METADATA,
    _of_image("image_locations"),
    Column("registry", String(255), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
    Index("ix_image_locations_registry", "registry", "repository"),
)

IMAGE_LAYERS: Final = Table(
    "image_layers",
    METADATA,
    _of_image("image_layers"),
    Column("position", Integer, primary_key=True, autoincrement=False),  # 0 is the oldest
    Column("layer_digest", String(160), nullable=False),
    Index("ix_image_layers_layer_digest", "layer_digest"),
)

TAGS: Final = Table(
    "tags",  # a row per change, never overwritten
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("registry", String(255), nullable=False),
    Column("repository", String(255), nullable=False),
    Column("tag", String(128), nullable=False),
    Column("digest", String(160), nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("replaced_at", BigInteger),  # null: what it is now
    _only("ix_tags_current", "replaced_at IS NULL", "registry", "repository", "tag", unique=True),
    Index("ix_tags_tag", "registry", "repository", "tag", "id"),
    Index("ix_tags_digest", "digest"),
)

TAG_CHECKS: Final = Table(
    "tag_checks",  # tags said to have moved, to be asked of their registry
    METADATA,
    Column("registry", String(255), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("not_before_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("told_id", String(26), nullable=False),  # of the last time it was said
    Index("ix_tag_checks_not_before_at", "not_before_at"),
)

PACKAGES: Final = Table(
    "packages",  # each distinct one once
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("purl_hash", String(40), nullable=False),
    Column("name_hash", String(40), nullable=False),  # of type, namespace and name
    Column("purl_type", String(64), nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("purl", Text, nullable=False),
    Index("ix_packages_purl_hash", "purl_hash", unique=True),
    Index("ix_packages_name_hash", "name_hash", "id"),
)

IMAGE_PACKAGES: Final = Table(
    "image_packages",
    METADATA,
    _of_image("image_packages"),
    Column("position", Integer, primary_key=True, autoincrement=False),  # in the report
    Column(
        "package_id",
        _KEY,
        ForeignKey("packages.id", name="fk_image_packages_package_id"),
        nullable=False,
    ),
    Column("path", Text, nullable=False),
    Column("layer_index", Integer),
    Column("declared", Boolean, nullable=False),
    Index("ix_image_packages_package_id", "package_id", "image_key", "position"),
)

FINDINGS: Final = Table(
    "findings",
    METADATA,
    _of_image("findings"),
    Column("position", Integer, primary_key=True, autoincrement=False),  # worst first
    Column("fingerprint", String(64), nullable=False),
    Column("rule_id", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("severity", SmallInteger, nullable=False),  # 4 critical … 0 info
    Column("path", Text, nullable=False),
    Column("package", Text, nullable=False),
    Column("deleted_later", Boolean, nullable=False),
    Column("data", Text, nullable=False),  # JSON: the whole finding
    Index("ix_findings_rule_id", "rule_id", "image_key", "position"),
    Index("ix_findings_fingerprint", "fingerprint"),
)

DELIVERIES: Final = Table(
    "deliveries",  # webhooks received
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("source", String(64), nullable=False),
    Column("dedupe_key", String(64), nullable=False),  # hash of what its sender calls it
    Column("received_at", BigInteger, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_deliveries_dedupe_key", "source", "dedupe_key", unique=True),
    Index("ix_deliveries_source", "source", "id"),
)

DECISIONS: Final = Table(
    "decisions",  # answers to admissions
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("decided_at", BigInteger, nullable=False),
    Column("protocol", String(64), nullable=False),
    Column("namespace", String(255), nullable=False),
    Column("subject", String(512), nullable=False),  # kind and name of what was to be let in
    Column("operation", String(32), nullable=False),
    Column("user_name", String(255), nullable=False),
    Column("requested_by", String(255), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("decision", String(8), nullable=False),  # allow, warn, deny
    Column("cause", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("policy_digest", String(160), nullable=False),
    Index("ix_decisions_decision", "decision", "id"),
    Index("ix_decisions_namespace", "namespace", "id"),
)

DECISION_IMAGES: Final = Table(
    "decision_images",
    METADATA,
    Column(
        "decision_id",
        String(26),
        ForeignKey("decisions.id", name="fk_decision_images_decision_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("image", Text, nullable=False),  # as it was asked for
    Column("digest", String(160), nullable=False),  # empty if it could not be told
    Column("decision", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_decision_images_digest", "digest", "decision_id"),
)

ATTESTED_IMAGES: Final = Table(
    "attested_images",  # what is signed of an image, and what is to be: a row is written with each scan
    METADATA,
    _of_image("attested_images"),
    Column("asked_id", String(26), nullable=False),  # of the last scan or change that asked for it
    Column("due_at", BigInteger),  # null: nothing to sign
    Column("attempts", Integer, nullable=False),
    Column("setup", String(64), nullable=False),  # hash of key, policy, predicates, validity
    Column("basis", String(64), nullable=False),  # hash of all that the statements follow from
    Column("signed_at", BigInteger),
    Column("renew_at", BigInteger),  # when the image is to be scanned again
    Column("error_code", String(64), nullable=False),
    Column("error", Text, nullable=False),
    _only("ix_attested_images_due_at", "due_at IS NOT NULL", "due_at"),
    _only("ix_attested_images_renew_at", "renew_at IS NOT NULL", "renew_at"),
)

ATTESTATIONS: Final = Table(
    "attestations",  # signed statements; a new one takes the place of the one before
    METADATA,
    _of_image("attestations"),
    Column("predicate_type", String(255), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    Column("made_at", BigInteger, nullable=False),  # when the scan ended
    Column("expires_at", BigInteger, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    Column("envelope", LargeBinary, nullable=False),  # DSSE as JSON, in a zstd frame
)

PUBLICATIONS: Final = Table(
    "attestation_publications",  # where statements are to be, and whether they are
    METADATA,
    _of_image("attestation_publications"),
    Column("registry", String(255), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("asked_id", String(26), nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_at", BigInteger),  # null: nothing to do
    Column("attempts", Integer, nullable=False),
    Column("published_at", BigInteger),
    Column("error_code", String(64), nullable=False),
    Column("error", Text, nullable=False),
    _only("ix_attestation_publications_due_at", "due_at IS NOT NULL", "due_at", "state"),
)

TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("scopes", String(255), nullable=False),  # space-joined
    Column("prefix", String(16), nullable=False),  # by which a person knows it again
    Column("secret_hash", String(64), nullable=False),  # SHA-256 of a text with 256 random bits
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Index("ix_tokens_secret_hash", "secret_hash", unique=True),
)
