"""A ledger tells whether it is older than its datasets."""

import time
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the ledger's incarnations, and the counters of the processes that submit."""
    incarnations = op.create_table(
        "incarnations",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("incarnation", sa.String(32), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_incarnations"),
        sa.UniqueConstraint("incarnation", name="uq_incarnations_incarnation"),
    )
    op.create_table(
        "submission_counters",
        sa.Column("writer", sa.String(32), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_submission_counters"),
    )
    lineage = op.create_table(
        "lineage",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("reconcile_reason", sa.Text(), nullable=True),
        sa.Column("lookup_ids_above", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lineage"),
    )
    # A copy from before this migration gets an incarnation of its own each time it is migrated:
    # what another copy has published since is not this one's.
    op.bulk_insert(
        incarnations,
        [{"incarnation": uuid4().hex, "since": time.time_ns() // 1_000}],
    )
    op.bulk_insert(lineage, [{"id": 1, "counter": 0, "lookup_ids_above": 0}])
