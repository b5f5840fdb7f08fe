"""Claims are numbered; what the plan allows; partitions that go on by themselves."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add claim numbers, the index of what was sent when, allowances, and who goes on when."""
    op.add_column(
        "lookups",
        sa.Column("claim_number", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    where = sa.text("submitted_at IS NOT NULL")
    op.create_index(
        "ix_lookups_submitted_at",
        "lookups",
        ["submitted_at"],
        sqlite_where=where,
        postgresql_where=where,
    )
    _ids_that_queries_name()
    op.add_column("partitions", sa.Column("continues_at", sa.BigInteger()))
    op.add_column("partitions", sa.Column("in_backfill", sa.Boolean()))
    op.add_column("partitions", sa.Column("continuation_requested_at", sa.BigInteger()))
    op.create_table(
        "days",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_days"),
    )
    op.create_table(
        "allowances",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("limit", sa.BigInteger()),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger()),
        sa.Column("look_again_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name="pk_allowances"),
    )


def _ids_that_queries_name() -> None:
    """Note the profile id of what is asked by it: of one in doubt, the provider can be asked."""
    connection = op.get_bind()
    found = connection.execute(
        sa.text(
            "SELECT lookup_id, parameters FROM lookups "
            "WHERE profile_id IS NULL AND parameters LIKE '{\"id\":%'"
        )
    )
    ids = [{"key": row.lookup_id, "id": json.loads(row.parameters)["id"]} for row in found]
    if ids:
        connection.execute(
            sa.text("UPDATE lookups SET profile_id = :id WHERE lookup_id = :key"), ids
        )
    op.execute(
        "UPDATE lookups SET next_poll_at = settled_at "
        "WHERE state = 'unconfirmed' AND profile_id IS NOT NULL"
    )
