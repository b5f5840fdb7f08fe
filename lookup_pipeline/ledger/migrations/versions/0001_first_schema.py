"""The first schema: lookups, payloads, memberships, partitions, limits."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table of the first version. Times are microseconds since 1970 UTC."""
    lookup_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    states = "'queued', 'submitting', 'in_flight', 'complete', 'failed', 'unconfirmed'"
    op.create_table(
        "lookups",
        sa.Column("lookup_id", lookup_id, autoincrement=True, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("api_status", sa.Text()),
        sa.Column("profile_id", sa.BigInteger()),
        sa.Column("request_id", sa.Text()),
        sa.Column("claimed_by", sa.Text()),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("not_before", sa.BigInteger()),
        sa.Column("submitted_at", sa.BigInteger()),
        sa.Column("next_poll_at", sa.BigInteger()),
        sa.Column("last_polled_at", sa.BigInteger()),
        sa.Column("deadline_at", sa.BigInteger()),
        sa.Column("settled_at", sa.BigInteger()),
        sa.Column("credits", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure_kind", sa.String(32)),
        sa.Column("failure_reason", sa.Text()),
        sa.Column("http_status", sa.Integer()),
        sa.CheckConstraint(f"state IN ({states})", name=op.f("ck_lookups_state")),
        sa.PrimaryKeyConstraint("lookup_id", name="pk_lookups"),
        sa.UniqueConstraint("identity", name="uq_lookups_identity"),
    )
    for name, column, state in (
        ("ix_lookups_due", "next_poll_at", "in_flight"),
        ("ix_lookups_deadline", "deadline_at", "in_flight"),
        ("ix_lookups_lease", "lease_until", "submitting"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "lookups", [column], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "payloads",
        sa.Column("lookup_id", lookup_id, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lookup_id"], ["lookups.lookup_id"], name="fk_payloads_lookup_id_lookups"
        ),
        sa.PrimaryKeyConstraint("lookup_id", name="pk_payloads"),
    )
    op.create_table(
        "memberships",
        sa.Column("lookup_date", sa.String(10), nullable=False),
        sa.Column("source_file", sa.Text(), nullable=False),
        sa.Column("source_row", sa.BigInteger(), nullable=False),
        sa.Column("lookup_id", lookup_id, nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.Column("requested", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lookup_id"], ["lookups.lookup_id"], name="fk_memberships_lookup_id_lookups"
        ),
        sa.PrimaryKeyConstraint("lookup_date", "source_file", "source_row", name="pk_memberships"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_memberships_lookup_id", "memberships", ["lookup_id"])
    op.create_table(
        "partitions",
        sa.Column("lookup_date", sa.String(10), nullable=False),
        sa.Column("news_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "published_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("published_at", sa.BigInteger()),
        sa.Column(
            "publication_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("publication_requested_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("lookup_date", name="pk_partitions"),
    )
    op.create_table(
        "limits",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("blocked_until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name="pk_limits"),
    )
