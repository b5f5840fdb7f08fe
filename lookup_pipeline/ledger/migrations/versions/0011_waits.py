"""Why a partition waits, since when and until when."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add waits, with the partitions that were to go on by themselves; drop what told of them."""
    op.create_table(
        "waits",
        sa.Column("lookup_date", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("request", sa.Text()),
        sa.Column("in_backfill", sa.Boolean(), nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lookup_date", name="pk_waits"),
    )
    # Since when is not known: since the time that was noted, at the latest.
    op.execute(
        "INSERT INTO waits (lookup_date, reason, detail, stage, since, until, attempts, "
        "in_backfill, noted_at) "
        "SELECT lookup_date, 'limits', 'the provider''s limits', 'submit', continues_at, "
        "continues_at, 0, COALESCE(in_backfill, FALSE), 0 "
        "FROM partitions WHERE continues_at IS NOT NULL"
    )
    for name in ("continues_at", "in_backfill", "continuation_requested_at"):
        op.drop_column("partitions", name)
