"""Whether a partition is settled is found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index what is pending by the partition that asked first."""
    where = sa.text("state IN ('in_flight', 'queued', 'submitting')")
    op.create_index(
        "ix_lookups_pending", "lookups", ["first_date"], sqlite_where=where, postgresql_where=where
    )
