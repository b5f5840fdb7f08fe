"""Lookups that have timed out stay due; what partitions cost, and what of it has been told."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Have `ix_lookups_due` hold whatever has a next time; add indexes and columns for credits."""
    where = sa.text("next_poll_at IS NOT NULL")
    op.drop_index("ix_lookups_due", "lookups")
    op.create_index(
        "ix_lookups_due", "lookups", ["next_poll_at"], sqlite_where=where, postgresql_where=where
    )
    op.create_index("ix_lookups_first_date", "lookups", ["first_date", "credits"])
    op.add_column(
        "partitions",
        sa.Column(
            "published_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )
    # What was published before was told of: it is not spent once more by the next publication.
    op.execute(
        "UPDATE partitions SET published_credits = coalesce("
        "(SELECT sum(credits) FROM lookups WHERE first_date = partitions.lookup_date"
        " AND settled_at <= partitions.published_at), 0)"
    )
